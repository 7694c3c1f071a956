"""The agent with a stopped and a restarted xenstored, in a lab without guests."""

import subprocess

import pytest

from tests.lab.lab_dom0 import LAB, Dom0, leftovers
from tests.lab.lab_pool import ALWAYS_UP, stop_lab
from tests.lab.service import Service, wait_until
from tests.patience import slowness

pytestmark = pytest.mark.long

UP = ("xengt_xenstore_up", "")
STATUS = "/local/domain/0/data/xengt/serve"
START = "/usr/lib/xen-4.20/bin/oxenstored --pid-file /run/xenstore.pid"


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
        assert 0 < seconds < 2 * slowness()
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
