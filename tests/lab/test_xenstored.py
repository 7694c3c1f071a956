"""A xenstored that stops, or dies and is started again; in a lab that has no guest to lose."""

import subprocess

import pytest

from tests.lab.labs import STAYS, down
from tests.lab.reach import LAB, Dom0, left_behind
from tests.lab.service import Service, waits_until

pytestmark = pytest.mark.long

UP = ("xengt_xenstore_up", "")
STATUS = "/local/domain/0/data/xengt/serve"
START = "/usr/lib/xen-4.20/bin/oxenstored --pid-file /run/xenstore.pid"


@pytest.fixture(scope="module")
def alone(labs):
    """A lab without a guest."""
    for other in [name for name in labs.up if name != STAYS]:
        labs.down(other)
    lab = Dom0(f"{labs.prefix}tests-xenstored")
    down(lab)
    subprocess.run([LAB, "up", "--name", lab.name], check=True)
    lab.brings_tests()
    yield lab
    down(lab)


@pytest.fixture
def service(alone):
    one = Service(alone)
    one.starts("[probe]\ninterval_s = 1\ncpu_budget = 1.0\ncalls = 1\n")
    assert waits_until(lambda: one.scraped().get(UP) == 1)
    yield one
    one.control("stop")


def status(dom0) -> str:
    return dom0.run("xenstore-read", f"{STATUS}/state").stdout.strip()


def named(service) -> bool:
    return any(
        name == "xengt_domain_info" and 'name="Domain-0"' in labels
        for name, labels in service.scraped()
    )


def test_one_that_does_not_answer_is_told_and_used_again(alone, service):
    assert waits_until(lambda: status(alone) == "probing" and named(service))
    alone.succeeds("kill -STOP $(pidof oxenstored)")
    try:
        # Nothing asks it of itself: a domain's coming would. The agent goes on, either way.
        before = service.rounds()
        assert waits_until(lambda: service.rounds() >= before + 3)
        assert service.scraped()["xengt_host_read_failures_total", ""] == 0
        assert named(service)
        seconds = service.stops()
        print(f"stopped in {seconds:.2f} s without an answer of xenstored")
        assert 0 < seconds < 2
    finally:
        alone.succeeds("kill -CONT $(pidof oxenstored)")
    assert left_behind(alone) == ""


def test_one_that_was_restarted_is_told_all_again(alone, service):
    assert waits_until(lambda: status(alone) == "probing")
    alone.succeeds("kill -9 $(pidof oxenstored)")
    assert waits_until(lambda: service.scraped()[UP] == 0)
    before = service.rounds()
    assert waits_until(lambda: service.rounds() >= before + 3)  # it needs none to measure
    assert named(service)  # the last that is known
    alone.succeeds(f"{START} && /usr/lib/xen-4.20/bin/xen-init-dom0")
    assert waits_until(lambda: service.scraped()[UP] == 1)
    assert waits_until(lambda: status(alone) == "probing")
    alone.succeeds("xenstore-write /local/domain/0/name Again")
    assert waits_until(lambda: any('name="Again"' in labels for _, labels in service.scraped()))
    assert service.control("stop") == 0
    assert status(alone) == ""
    assert left_behind(alone) == ""
