"""The unit on a host that changes: reloads that fail, late addresses, certificates, connections."""

import pytest

from tests.lab.agent_scraping import background_unit
from tests.lab.service import BUSY, CONFIG, PORT, wait_until
from xengt.serve.http.connections import LIMIT

pytestmark = pytest.mark.long  # each starts the service, and tests/unit/serve has the same cases

#: an address for documentation (RFC 5737), which dom0 has only if a test adds it
LATE = "203.0.113.1"
ROUNDS = ("xengt_probe_rounds_total", "")
RELOADED = ("xengt_config_last_reload_successful", "")
#: writes a certificate for localhost and its key
CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
    "-keyout /etc/xengt/{0}.key -out /etc/xengt/{0}.crt 2>/dev/null"
)
#: opens connections to the agent, and keeps them open without a request
IDLE = (
    "import socket, time\n"
    f"idle = [socket.create_connection(('127.0.0.1', {PORT})) for _ in range(70)]\n"
    "print('opened', flush=True)\n"
    "time.sleep(100000)\n"
)


@pytest.fixture
def certificates(dom0):
    """Certificates and keys /etc/xengt/a.* and b.*."""
    for name in "ab":
        dom0.check_output(CERTIFICATE.format(name))
    yield
    dom0.check_output("rm -f /etc/xengt/[ab].*")


@pytest.fixture
def address(dom0):
    """A function that gives dom0 the late address."""
    yield lambda: dom0.check_output(f"ip address add {LATE}/32 dev lo")
    dom0.run(f"ip address delete {LATE}/32 dev lo")


def counters(service) -> dict[tuple[str, str], float]:
    ends = ("_total", "_count", "_bucket", "_sum")
    return {
        key: value
        for key, value in service.scrape().items()
        if key[0].startswith("xengt_") and key[0].endswith(ends)
    }


@pytest.mark.usefixtures("certificates")
@pytest.mark.parametrize(
    ("listen", "message", "detected"),
    [
        (f'address = "{LATE}"', f"cannot listen on {LATE}:9805: Cannot assign", True),
        ("port = 9806", "cannot listen on 127.0.0.1:9806: Address already in use", False),
        (
            'certificate = "/etc/xengt/a.crt"\nkey = "/etc/xengt/b.key"',
            "the key is not the certificate's",
            True,
        ),
    ],
)
def test_a_reload_that_fails_changes_nothing(dom0, service, listen, message, detected):
    service.start()
    assert wait_until(lambda: service.rounds() >= 1)
    pid, before = service.properties("MainPID"), counters(service)
    words = ("python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "9806")
    with background_unit(dom0, "port", *words, ready_text="Serving"):
        service.configure(f"[listen]\n{listen}\n{BUSY}")
        done = dom0.run("xengt", "serve", "--dry-run", "--config", CONFIG)
        assert (done.returncode == 2, message in done.stderr) == (detected, detected)
        assert service.control("reload") == 0
    properties = service.properties("ActiveState", "NRestarts", "StatusText")
    assert (properties["ActiveState"], properties["NRestarts"]) == ("active", "0")
    assert f"listening on 127.0.0.1:{PORT}; the last reload failed: " in properties["StatusText"]
    assert service.properties("MainPID") == pid
    (record,) = [each for each in service.journal() if each["PRIORITY"] == "3"]
    assert message in record["MESSAGE"]
    assert all(value >= before[key] for key, value in counters(service).items())
    assert service.scrape()[RELOADED] == 0


def test_counters_continue_after_a_reload(service):
    service.start()
    assert wait_until(lambda: service.rounds() >= 2)
    for changed in ("[host]\ndomains = 1\n", "calls = 8\n", "batches = [1]\n"):
        before = counters(service)
        service.configure(f"{BUSY}{changed}")
        assert service.control("reload") == 0
        after = counters(service)
        assert service.scrape()[RELOADED] == 1
        assert after[ROUNDS] >= before[ROUNDS] >= 2
        common = {key for key in after if key[0].startswith("xengt_probe")}
        assert all(after[key] >= before[key] for key in common)
    assert not any('batch="32"' in labels for _, labels in after)


def test_the_agent_waits_for_its_address(dom0, service, address):
    service.start(f'[listen]\naddress = "{LATE}"\n{BUSY}')
    status = service.properties("StatusText")["StatusText"]
    assert f"waiting: cannot listen on {LATE}:{PORT}: Cannot assign requested address" in status
    assert dom0.run("busybox", "nc", "-z", LATE, str(PORT)).returncode != 0
    address()
    waiting = f"listening on {LATE}:{PORT}"
    assert wait_until(lambda: waiting in service.properties("StatusText")["StatusText"])
    page = dom0.check_output(f"busybox wget -q -T 60 -O - http://{LATE}:{PORT}/metrics")
    assert "xengt_domains" in page
    assert len([each for each in service.messages() if "Cannot assign" in each]) == 1
    assert service.properties("NRestarts")["NRestarts"] == "0"


@pytest.mark.usefixtures("certificates")
def test_a_certificate_replaced_on_disk_is_used_without_a_reload(dom0, service):
    dom0.check_output("cd /etc/xengt; cp a.crt tls.crt; cp a.key tls.key")
    try:
        service.start('[listen]\ncertificate = "/etc/xengt/tls.crt"\nkey = "/etc/xengt/tls.key"\n')

        def presented() -> str:
            client = f"openssl s_client -connect 127.0.0.1:{PORT} < /dev/null 2>/dev/null"
            return dom0.check_output(f"{client} | openssl x509 -noout -serial")

        first = presented()
        dom0.check_output("cp /etc/xengt/b.crt /etc/xengt/tls.crt")
        assert presented() == first
        dom0.check_output("cp /etc/xengt/b.key /etc/xengt/tls.key")
        assert presented() != first
        (error,) = [each for each in service.journal() if each["PRIORITY"] == "3"]
        assert "the previous ones stay in use" in error["MESSAGE"]
    finally:
        dom0.check_output("rm -f /etc/xengt/tls.*")


def test_idle_connections_neither_stop_a_thread_nor_a_scrape(dom0, service):
    service.start()
    assert wait_until(lambda: service.scrape().get(("xengt_xenstore_up", "")) == 1)
    pid = service.properties("MainPID")["MainPID"]

    def threads() -> int:
        return int(dom0.check_output(f"ls /proc/{pid}/task | wc -l"))

    def sockets() -> int:
        return int(dom0.check_output(f"ls -l /proc/{pid}/fd | grep -c socket:"))

    lasting = min(threads() for _ in range(5))  # one that answers a scrape ends with it
    others = sockets()
    with background_unit(dom0, "idle", "python3", "-c", IDLE, ready_text="opened"):
        rounds = service.rounds()
        assert wait_until(lambda: service.rounds() > rounds + 1)
        assert service.scrape()["xengt_xenstore_up", ""] == 1
        assert sockets() <= others + LIMIT + 1  # one waits for its place
        domain = dom0.check_output("xl list | awk 'NR == 2 { print $1 }'").strip()
        dom0.check_output("xl rename 0 renamed")
        try:
            assert wait_until(lambda: "renamed" in str(service.scrape()))
        finally:
            dom0.check_output(f"xl rename 0 {domain}")
    assert wait_until(lambda: threads() == lasting)
    assert service.properties("NRestarts")["NRestarts"] == "0"
