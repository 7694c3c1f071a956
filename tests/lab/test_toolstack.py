"""`xl shutdown --all --wait` and xendomains while the agent runs, in a lab with a guest."""

import subprocess

import pytest

from tests.lab.lab_dom0 import LAB, Dom0, leftovers
from tests.lab.lab_pool import ALWAYS_UP, stop_lab
from tests.lab.service import BUSY, Service, wait_until
from tests.patience import patient

pytestmark = pytest.mark.long


@pytest.fixture
def lab(labs):
    """A lab whose guest these tests shut down."""
    for other in [name for name in labs.up if name != ALWAYS_UP]:
        labs.down(other)
    one = Dom0(f"{labs.prefix}tests-toolstack")
    stop_lab(one)
    subprocess.run([LAB, "up", "--name", one.name, "--guest"], check=True)
    one.copy_tests()
    yield one
    stop_lab(one)


@pytest.fixture
def service(lab):
    one = Service(lab)
    one.start(BUSY)
    assert wait_until(lambda: one.rounds() >= 1)
    yield one
    one.control("stop")


def seconds_of(dom0, command: str) -> float:
    """Return how long a command took in dom0, which must exit with 0."""
    output = dom0.check_output(f"date +%s.%N; {command} >&2; status=$?; date +%s.%N; exit $status")
    began, ended = (float(line) for line in output.split())
    return ended - began


def domains(dom0) -> list[str]:
    return [line.split()[0] for line in dom0.check_output("xl list").splitlines()[1:]]


def test_all_guests_are_shut_down_and_none_is_waited_for_in_vain(lab, service):
    assert {"Domain-0", "guest"} < set(domains(lab))
    seconds = seconds_of(lab, "xl shutdown --all --wait")
    print(f"xl shutdown --all --wait took {seconds:.1f} s")
    assert seconds < min(patient(30), 60)
    assert wait_until(lambda: domains(lab) == ["Domain-0"])
    assert [key for key in service.scrape() if key[0] == "xengt_probe_errors_total"]
    assert service.scrape()["xengt_probe_errors_total", 'status="none"'] == 0
    assert service.control("stop") == 0
    assert leftovers(lab) == ""


def test_the_agent_stops_before_xendomains(lab, service):
    """systemd stops units in the reverse order of After=."""
    after = service.properties("After")["After"].split()
    assert "xendomains.service" in after
    assert service.control("stop") == 0
    assert leftovers(lab) == ""
