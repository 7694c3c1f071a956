"""The agent does not grow, and answers every scrape, under a day's load on fakes of Xen."""

from dataclasses import replace

import pytest

from tests.soak.driver import Driver
from tests.soak.load import REAL_HOUR, Soak
from tests.soak.verdict import problems
from tests.unit.serve.soak.fake_host import FakeHost

MIB = 1 << 20
#: A domain costs both processes milliseconds, and a day has 288,000: a tenth of them. In 6 hours,
#: this finds a leak of 75 bytes per scrape, or of 150 per domain.
DAY = Soak(24, replace(REAL_HOUR, domains=REAL_HOUR.domains // 10), leak=MIB)
BRIEF = Soak(4, REAL_HOUR.with_part(1 / 40), leak=MIB)


@pytest.fixture
def host(tmp_path, fake_xen_library):
    host = FakeHost(tmp_path, fake_xen_library)
    yield host
    if host.process.poll() is None:
        host.process.kill()
        host.process.wait()


@pytest.mark.parametrize(
    "soak", [pytest.param(BRIEF, id="brief"), pytest.param(DAY, id="day", marks=pytest.mark.long)]
)
def test_soak(host, soak):
    report = Driver(soak, host).run()
    print(report)
    assert problems(soak, report) == []
    assert host.stop() == 0
    assert host.domains() == [f"0-{bytes(16).hex()}"]
    log = host.log.read_text()
    for complaint in ("has died", "ended the thread", "Traceback", "cannot render"):
        assert complaint not in log, log
