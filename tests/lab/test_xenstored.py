"""The agent with a stopped, a restarted and a full xenstored, in a lab without guests."""

import subprocess
import time

import pytest

from tests.lab.lab_dom0 import LAB, Dom0, leftovers
from tests.lab.lab_pool import ALWAYS_UP, stop_lab
from tests.lab.service import Service, wait_until
from tests.patience import patient

pytestmark = pytest.mark.long

UP = ("xengt_xenstore_up", "")
STATUS = "/local/domain/0/data/xengt/serve"
START = "/usr/lib/xen-4.20/bin/oxenstored --pid-file /run/xenstore.pid"
#: Xen's daemon in C, which sends large directories in parts (Debian: xenstored, started instead)
START_IN_C = "/usr/lib/xen-4.20/bin/xenstored --pid-file /run/xenstore.pid"
PIDS = "$(pidof oxenstored xenstored)"


@pytest.fixture(scope="module")
def alone(labs):
    """A lab without a guest."""
    for other in [name for name in labs.up if name != ALWAYS_UP]:
        labs.down(other)
    lab = Dom0(f"{labs.prefix}tests-xenstored")
    stop_lab(lab)
    subprocess.run([LAB, "up", "--name", lab.name], check=True)
    lab.copy_tests()
    yield lab
    stop_lab(lab)


@pytest.fixture
def service(alone):
    one = Service(alone)
    one.start("[probe]\ninterval_s = 1\ncpu_budget = 1.0\ncalls = 1\n")
    assert wait_until(lambda: one.scrape().get(UP) == 1)
    yield one
    one.control("stop")


def service_state(dom0) -> str:
    return dom0.run("xenstore-read", f"{STATUS}/state").stdout.strip()


def shows_dom0_name(service) -> bool:
    return any(
        name == "xengt_domain_info" and 'name="Domain-0"' in labels
        for name, labels in service.scrape()
    )


def test_the_agent_works_while_xenstored_is_stopped(alone, service):
    assert wait_until(lambda: service_state(alone) == "probing" and shows_dom0_name(service))
    alone.check_output("kill -STOP $(pidof oxenstored)")
    try:
        # The agent goes on; it only queries XenStore when a domain appears.
        before = service.rounds()
        assert wait_until(lambda: service.rounds() >= before + 3)
        assert service.scrape()["xengt_host_read_failures_total", ""] == 0
        assert shows_dom0_name(service)
        seconds = service.stop()
        print(f"stopped in {seconds:.2f} s while xenstored did not answer")
        assert 0 < seconds < patient(1)
    finally:
        alone.check_output("kill -CONT $(pidof oxenstored)")
    assert leftovers(alone) == ""


def test_the_agent_reconnects_to_a_restarted_xenstored(alone, service):
    assert wait_until(lambda: service_state(alone) == "probing")
    alone.check_output("kill -9 $(pidof oxenstored)")
    assert wait_until(lambda: service.scrape()[UP] == 0)
    before = service.rounds()
    assert wait_until(lambda: service.rounds() >= before + 3)  # measuring needs no XenStore
    assert shows_dom0_name(service)  # the last known name
    alone.check_output(f"{START} && /usr/lib/xen-4.20/bin/xen-init-dom0")
    assert wait_until(lambda: service.scrape()[UP] == 1)
    assert wait_until(lambda: service_state(alone) == "probing")
    alone.check_output("xenstore-write /local/domain/0/name Again")
    assert wait_until(lambda: any('name="Again"' in labels for _, labels in service.scrape()))
    assert service.control("stop") == 0
    assert service_state(alone) == ""
    assert leftovers(alone) == ""


DOMIDS = range(20_000, 22_000)
#: writes and removes the directories of 2,000 domains, which Xen does not have
NODES = f"""
import sys
from xengt.xen.xenstore import XenStore
with XenStore() as store:
    for domid in range({DOMIDS.start}, {DOMIDS.stop}):
        if sys.argv[1] == "write":
            store.write(f"/local/domain/{{domid}}/name", f"guest-{{domid}}")
        else:
            store.remove(f"/local/domain/{{domid}}")
    # The agent's own domain may be listed as well.
    listed = sum(domid in range({DOMIDS.start}, {DOMIDS.stop}) for domid in store.domids())
    print(listed, store.name_of({DOMIDS[-1]}))
"""


@pytest.mark.parametrize("daemon", [START, START_IN_C], ids=["oxenstored", "xenstored"])
def test_two_thousand_domains_in_xenstore(alone, service, daemon):
    """The list of 2,000 five-digit domids has 12,000 bytes; xenstored sends 4,096 at once."""
    alone.check_output(f"kill -9 {PIDS}; sleep 1; {daemon} && /usr/lib/xen-4.20/bin/xen-init-dom0")
    assert wait_until(lambda: service.scrape()[UP] == 1)
    try:
        assert alone.check_output("python3", "-c", NODES, "write", timeout=900).split() == [
            str(len(DOMIDS)),
            f"guest-{DOMIDS[-1]}",
        ]
        # A new connection lists all domains.
        restarted = Service(alone)  # whose messages begin here
        assert restarted.control("restart") == 0
        assert wait_until(lambda: service.scrape().get(UP) == 1)
        assert wait_until(lambda: service_state(alone) == "probing", 600)
        assert wait_until(lambda: shows_dom0_name(service), 600)
        since = time.monotonic()
        while time.monotonic() - since < patient(20):
            assert service.scrape()[UP] == 1
        messages = restarted.messages()
        assert "connected to XenStore" in messages
        assert not [each for each in messages if "connection to XenStore is lost" in each], messages
        assert "Domain-0" in alone.check_output("xengt", "usage")
    finally:
        output = alone.check_output("python3", "-c", NODES, "remove", timeout=900)
        assert output.split()[0] == "0"
    assert wait_until(lambda: service_state(alone) == "probing", 600)
    assert service.control("stop") == 0
    assert leftovers(alone) == ""


def test_names_appear_as_soon_as_xenstored_is_up(alone):
    alone.check_output(f"kill -9 {PIDS}; rm -f /run/xenstored/socket")
    one = Service(alone)
    try:
        one.start("[probe]\ninterval_s = 1\ncpu_budget = 1.0\ncalls = 1\n")
        assert wait_until(lambda: one.rounds() >= 1)
        found = [labels for name, labels in one.scrape() if name == "xengt_domain_info"]
        assert any('name=""' in labels and 'own="no"' in labels for labels in found)
        assert sum('own="yes"' in labels for labels in found) == 1
    finally:
        alone.check_output(f"{START} && /usr/lib/xen-4.20/bin/xen-init-dom0")
    assert wait_until(lambda: one.scrape().get(UP) == 1)
    assert wait_until(lambda: shows_dom0_name(one), 10)
    # The domain that was created without XenStore gets its name.
    assert wait_until(lambda: "xengt-" in alone.check_output("xl list"))
    assert one.control("stop") == 0
    assert leftovers(alone) == ""
