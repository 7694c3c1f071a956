"""Every way in which the service can end or fail to start: systemd's state, and no leaks."""

import json

import pytest

from tests.lab.agent_scraping import background_unit
from tests.lab.lab_dom0 import leftovers
from tests.lab.service import BUSY, UNIT, wait_until

pytestmark = pytest.mark.long

#: long enough between rounds for a benchmark
SELDOM = "[probe]\ninterval_s = 10\ncpu_budget = 1.0\n"


def runs_again(service, pid) -> bool:
    """Return whether a process other than `pid` has completed a round."""
    return service.properties("MainPID")["MainPID"] not in {"0", pid} and service.rounds() >= 1


@pytest.mark.parametrize("when", ["waiting", "measuring"])
def test_a_killed_agent_is_restarted_and_cleans_up(dom0, service, when):
    service.start(BUSY if when == "measuring" else "[probe]\ninterval_s = 600\ncpu_budget = 1\n")
    assert wait_until(lambda: service.rounds() >= 1)
    pid = service.properties("MainPID")["MainPID"]
    dom0.check_output("kill", "-9", pid)
    # The domain must outlive the killed agent for this test to be meaningful.
    assert has_domain_of(dom0, pid)
    assert wait_until(lambda: runs_again(service, pid))
    assert not has_domain_of(dom0, pid)
    assert service.properties("NRestarts")["NRestarts"] == "1"
    assert service.control("stop") == 0
    assert leftovers(dom0) == ""


def has_domain_of(dom0, pid) -> bool:
    """Return whether an empty domain made by this process exists."""
    code = (
        "from xengt.recovery import domain_owner; from xenlib_cffi.ctrl import Ctrl\n"
        "with Ctrl() as ctrl: print([domain_owner._UUID.unpack(d.uuid)[1] for d in ctrl.domains()"
        " if domain_owner.is_ours(d.uuid)])"
    )
    return pid in dom0.check_output("python3", "-c", code)


def test_a_hung_agent_is_killed_and_restarted(dom0, service):
    service.start()
    assert wait_until(lambda: service.rounds() >= 1)
    pid = service.properties("MainPID")["MainPID"]
    dom0.check_output("kill", "-STOP", pid)
    assert wait_until(lambda: runs_again(service, pid), 300)
    output = dom0.check_output("journalctl", "--unit", UNIT, f"--since=@{service.began}")
    assert "Watchdog timeout" in output
    assert service.control("stop") == 0
    assert leftovers(dom0) == ""


def test_the_journal_of_mappings_is_shared_with_root(dom0, service):
    dom0.check_output("rm -rf /run/xengt")
    dom0.check_output("xengt", "bench", "--samples", "10")
    assert dom0.check_output("stat -c %U /run/xengt /run/xengt/mappings").split() == ["root"] * 2
    service.start(SELDOM)
    assert wait_until(lambda: service.rounds() >= 1)
    dom0.check_output("xengt", "bench", "--samples", "10")
    assert service.control("stop") == 0
    assert dom0.check_output("stat -c %U /run/xengt /run/xengt/mappings").split() == ["xengt"] * 2
    dom0.check_output("xengt", "bench", "--samples", "10")
    # root recreates the file while the service runs.
    service.start(SELDOM)
    dom0.check_output("rm /run/xengt/mappings; xengt bench --samples 10")
    before = service.rounds()
    assert wait_until(lambda: service.rounds() > before + 1)
    assert ("xengt_probe_errors_total", 'status="none"') in service.scrape()
    assert service.scrape()["xengt_probe_errors_total", 'status="none"'] == 0


@pytest.fixture(scope="module")
def taken(dom0):
    """A port in use by another program."""
    words = ("python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "9806")
    with background_unit(dom0, "port", *words, ready_text="Serving"):
        yield


TLS = '[listen]\ncertificate = "{0}/tls.crt"\nkey = "{0}/tls.key"\n'


@pytest.mark.usefixtures("taken")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[probe\n", "is not TOML"),
        ("[probe]\ncalls = 0\n", "probe.calls must be an integer from 1 to 10000, not 0"),
        ("[listen]\nport = 22\n", "cannot listen on 127.0.0.1:22: Permission denied"),
        ("[listen]\nport = 9806\n", "cannot listen on 127.0.0.1:9806: Address already in use"),
        (TLS.format("/etc/xengt"), "/etc/xengt/tls.crt cannot be read: No such file"),
        # a home directory, which the unit cannot access
        (TLS.format("/root"), "/root/tls.crt cannot be read"),
        # a file that is no certificate
        (TLS.format("/proc/xen").replace("tls.crt", "capabilities"), "/proc/xen/tls.key cannot be"),
    ],
)
def test_a_permanent_error_fails_without_restarts(dom0, service, text, message):
    dom0.check_output("touch /root/tls.crt /root/tls.key")
    service.configure(text)
    assert service.control("start") != 0
    properties = service.properties("ActiveState", "Result", "ExecMainStatus", "NRestarts")
    assert properties == {
        "ActiveState": "failed",
        "Result": "exit-code",
        "ExecMainStatus": "2",
        "NRestarts": "0",
    }
    (record,) = [each for each in service.journal() if each["PRIORITY"] == "3"]
    assert message in record["MESSAGE"]
    checks = json.loads(dom0.run("xengt", "check", "--json").stdout)["checks"]
    (check,) = [each for each in checks if each["name"] == "service"]
    assert check["what"] == "failed (exit-code, exit code 2), disabled"
    assert leftovers(dom0) == ""


def test_a_key_readable_by_root_only_is_used(dom0, service):
    python = (
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout /etc/xengt/tls.key -days 2 "
        "-out /etc/xengt/tls.crt -subj /CN=localhost; chmod 600 /etc/xengt/tls.key"
    )
    dom0.check_output(python)
    try:
        service.start(TLS.format("/etc/xengt"))
        dom0.check_output("openssl s_client -connect 127.0.0.1:9805 < /dev/null")
        output = dom0.run("xengt", "check").stdout
        assert "127.0.0.1:9805 accepts connections; TLS is not checked" in output
    finally:
        dom0.check_output("rm /etc/xengt/tls.*")
