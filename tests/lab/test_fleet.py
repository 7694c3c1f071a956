"""deploy/fleet on two hosts: installing, changing and removing the agent, with a Prometheus."""

import json
import os
import secrets
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import bcrypt
import pytest
from boardlib.boards import FLEET as FLEET_BOARD
from boardlib.variables import interpolate
from lablib import cache, places, qemu
from lablib.artifacts import package

from tests.fleet.cost import EVERY_S, measure
from tests.fleet.recording import record as record_pages
from tests.lab.agent_scraping import HURRY, forward_agent_port
from tests.lab.certificates import Authority
from tests.lab.fleet_hosts import DISCOVERY, MONITORING, Box, Fleet
from tests.lab.lab_dom0 import LAB, Dom0
from tests.patience import patient
from tests.prometheus.debian_package import programs
from tests.prometheus.server import (
    RULES,
    Prometheus,
    prometheus,
    shorten_times,
    waits_until,
)

pytestmark = [pytest.mark.long, pytest.mark.untimed]

NAMES = {"tests-fleet-1": (), "tests-fleet-2": ("--hypervisor", "patched")}
HERE = Path(__file__).parent
SCRAPED_S = 150
#: of the user as whom Prometheus scrapes an agent with passwords
PASSWORD = secrets.token_urlsafe()
#: panels of the fleet's dashboard that are empty on healthy hosts
WITHOUT_PROBLEM = {
    "Alerts that fire now",
    "Firing alerts over time",
    "Failures within one hour",
    "Destroyed domains that still exist",
    "Cases above 1.25 times their baseline",
}
#: lists all that a package, a service or Ansible could leave, without logs and apt's records
FILES = (
    "find / -xdev -path /proc -prune -o -path /sys -prune -o -path /tmp -prune -o -path /var/log"
    " -prune -o -path /var/lib/apt -prune -o -path /var/cache/apt -prune -o -path '/var/lib/dpkg/*'"
    " -prune -o -path /root -prune -o -name __pycache__ -prune -o -print | sort;"
    " find /run -name '*xengt*' ! -path '/run/systemd/*'; getent passwd; getent group; dpkg -l"
)


@pytest.fixture(scope="module")
def boxes(labs) -> Iterator[list[Box]]:
    # This machine has memory for two virtual machines.
    if not labs.keep_running:
        for variant in list(labs.up):
            labs.down(variant)
    with ExitStack() as stack:
        found = []
        for variant, options in NAMES.items():
            name = labs.prefix + variant
            subprocess.run([LAB, "down", "--name", name], check=True, capture_output=True)
            stack.callback(subprocess.run, [LAB, "down", "--name", name], check=True)
            subprocess.run([LAB, "up", "--name", name, *options], check=True)
            address = stack.enter_context(forward_agent_port(Dom0(name)))
            found.append(Box(name, int(address.rpartition(":")[2])))
        yield found


@pytest.fixture(scope="module")
def deb(tmp_path_factory) -> Path:
    # The cache may evict the package while this module runs.
    built = package.build(cache.Cache(places.cache_root()), 2)
    return Path(shutil.copy(built, tmp_path_factory.mktemp("package")))


@pytest.fixture(scope="module")
def fleet(boxes, deb, tmp_path_factory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("fleet"), boxes, deb)


def by_box(prometheus: Prometheus, query: str) -> dict[str, float]:
    """Return the values of a query that has one per host, by host."""
    return {dict(labels)["box"]: value for labels, value in prometheus.query(query).items()}


def service(box: Box) -> dict[str, str]:
    properties = box.check_output(
        "systemctl show xengt.service -p ActiveState,UnitFileState,MainPID"
    )
    return dict(line.split("=") for line in properties.split())


@pytest.fixture(scope="module")
def files_before(boxes) -> list[str]:
    """The files of each host after the agent of the lab's image is purged."""
    for box in boxes:
        box.check_output("DEBIAN_FRONTEND=noninteractive apt-get -qy purge xengt", timeout=900)
    return [box.check_output(FILES, timeout=900) for box in boxes]


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def scraping(fleet, authority) -> Iterator[Prometheus]:
    """A Prometheus with the rules and the scrape job of monitoring.yml; the rules are sped up."""
    certificate, key = authority.sign("prometheus")
    job = {
        "tls_config": {
            "ca_file": str(authority.certificate),
            "cert_file": str(certificate),
            "key_file": str(key),
        },
        "basic_auth": {"username": "prometheus", "password": PASSWORD},
    }
    times = {"scrape_interval": f"{EVERY_S}s", "evaluation_interval": "1s"}
    file = fleet.prometheus / "prometheus.yml"
    file.write_text(json.dumps({"global": times}))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", f"{programs()}:{os.environ['PATH']}")
        assert fleet.play(playbook=MONITORING, xengt_prometheus_job=job).changed("here") > 0
        assert fleet.play(playbook=MONITORING, xengt_prometheus_job=job).changed("here") == 0
    installed = fleet.prometheus / "xengt" / "rules"
    assert {rule.name for rule in installed.iterdir()} == {rule.name for rule in RULES}
    for rule in installed.iterdir():
        rule.write_text(shorten_times(rule.read_text(), HURRY[rule.name]))
    with prometheus(fleet.prometheus, file.read_text()) as running:
        yield running


def wait_for_scrape(condition: Callable[[], object]) -> object:
    """Wait until scrapes fulfil a condition; returns its value."""
    return waits_until(condition, 300)


def scrape_targets(prometheus: Prometheus) -> dict[str, tuple[str, str]]:
    """Return the URL scheme and the health of each host's scrape target, by host."""
    targets = prometheus.api_get("targets", state="active")["activeTargets"]
    return {
        each["labels"]["box"]: (each["scrapeUrl"].partition(":")[0], each["health"])
        for each in targets
    }


# The order matters: each test starts from the state that the previous one leaves.


def test_check_mode_reports_changes_and_makes_none(boxes, files_before, fleet):
    assert min(fleet.changes("--check")) > 0
    assert [box.check_output(FILES, timeout=900) for box in boxes] == files_before
    assert not fleet.list.exists()


def test_the_agent_is_installed_on_hosts_without_it(boxes, fleet):
    assert min(fleet.changes()) > 0
    for box in boxes:
        found = service(box)
        assert (found["ActiveState"], found["UnitFileState"]) == ("active", "enabled")
    assert fleet.discovery_entries() == {
        "first": {"box": "first", "instance": "first", "site": "here"},
        "second": {"box": "second", "instance": "second", "hypervisor": "patched"},
    }


def test_a_second_run_changes_nothing(fleet):
    assert fleet.changes() == (0, 0)


def test_prometheus_discovers_and_scrapes_both_hosts(scraping):
    assert wait_for_scrape(lambda: by_box(scraping, "up") == {"first": 1, "second": 1})
    time.sleep(SCRAPED_S)
    window = f"[{SCRAPED_S - 30}s]"
    assert by_box(scraping, f"avg_over_time(up{window})") == {"first": 1, "second": 1}
    assert min(by_box(scraping, f"count_over_time(up{window})").values()) >= 7
    assert set(by_box(scraping, "xengt_probe_cpu_budget_ratio").values()) == {0.01}


def test_every_query_of_the_fleets_dashboard_has_data(scraping):
    def without_data() -> set[str]:
        return {
            panel.title
            for row in FLEET_BOARD.rows.values()
            for panel in row
            for each in panel.queries
            if not scraping.query(interpolate(each.expr, "first", "60s"))
        }

    assert wait_for_scrape(lambda: without_data() <= WITHOUT_PROBLEM), without_data()
    builds = interpolate(FLEET_BOARD.rows["Versions"][0].queries[0].expr, "first", "60s")
    assert sorted(scraping.query(builds).values()) == [1, 1]  # stock and patched
    hosts = interpolate(FLEET_BOARD.rows["Fleet"][0].queries[0].expr, "first", "60s", "here")
    assert scraping.query(hosts) == {(): 1}


def test_an_invalid_configuration_is_rejected_and_the_old_one_kept(boxes, fleet, scraping):
    before = [service(box) for box in boxes]
    done = fleet.play("--tags", "config", xengt_config={"probe": {"cpu_budget": 2}})
    assert done.code != 0
    assert "probe.cpu_budget must be a number greater than 0 and at most 1, not 2" in done.output
    assert [service(box) for box in boxes] == before
    assert set(by_box(scraping, "xengt_probe_cpu_budget_ratio").values()) == {0.01}


def test_a_changed_variable_reloads_despite_an_unreachable_host(boxes, fleet, scraping):
    before = [service(box) for box in boxes]
    fleet.common["xengt_config"] = {"probe": {"cpu_budget": 0.5}}
    fleet.boxes["third"] = {
        "ansible_host": "127.0.0.1",
        "ansible_port": qemu.free_port(),
        "xengt_scrape_port": qemu.free_port(),
    }
    try:
        done = fleet.play()
    finally:
        del fleet.boxes["third"]
    assert done.hosts["third"]["unreachable"] == 1
    assert [done.hosts[name]["changed"] for name in ("first", "second")] == [2, 2], done.output
    assert [service(box) for box in boxes] == before  # the same processes
    assert wait_for_scrape(
        lambda: by_box(scraping, "xengt_probe_cpu_budget_ratio") == {"first": 0.5, "second": 0.5}
    )
    # The unreachable host is reported as down until it is removed from the inventory.
    assert wait_for_scrape(lambda: by_box(scraping, "up") == {"first": 1, "second": 1, "third": 0})
    done = fleet.play(playbook=DISCOVERY)
    assert done.changed("here") == 1
    assert wait_for_scrape(lambda: set(by_box(scraping, "up")) == {"first", "second"})


def test_tls_requires_a_client_certificate_and_a_password(boxes, fleet, scraping, authority):
    certificate, key = authority.sign("127.0.0.1")
    # Made minutes before its use, as a lab's clock may be behind: it is not valid before its date.
    client = authority.sign("client")
    password_hash = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt()).decode()
    fleet.boxes["second"] |= {
        "xengt_certificate": str(certificate),
        "xengt_key": str(key),
        "xengt_client_ca": str(authority.certificate),
        "xengt_users": {"prometheus": password_hash},
    }
    # The files of TLS, the two configurations, and the reload.
    assert fleet.play("--limit", "second").changed("second") == 4
    assert fleet.play("--limit", "second").changed("second") == 0
    assert fleet.play(playbook=DISCOVERY).changed("here") == 1
    for name in ("tls.key", "web.yml"):
        found = boxes[1].check_output(f"stat -c %U:%G:%a /etc/xengt/{name}")
        assert found.strip() == "root:xengt:640"
    log = boxes[1].check_output("journalctl -u xengt.service --no-pager")
    assert "deprecated" not in log
    assert wait_for_scrape(
        lambda: scrape_targets(scraping) == {"first": ("http", "up"), "second": ("https", "up")}
    )
    with pytest.raises(OSError):  # noqa: PT011 (several errors are possible)
        urllib.request.urlopen(f"http://127.0.0.1:{boxes[1].port}/metrics", timeout=patient(60))
    trusting = ssl.create_default_context(cafile=authority.certificate)
    url = f"https://127.0.0.1:{boxes[1].port}/metrics"
    with pytest.raises(OSError):  # noqa: PT011 (the server refuses a client without certificate)
        urllib.request.urlopen(url, timeout=patient(60), context=trusting).read()
    trusting.load_cert_chain(*client)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=patient(60), context=trusting)
    assert refused.value.code == 401

    # Invalid files are not installed.
    before = boxes[1].check_output("cat /etc/xengt/web.yml")
    done = fleet.play("--limit", "second", "--tags", "config", xengt_users={"prometheus": "plain"})
    assert done.code != 0
    assert "the password of 'prometheus' must be a bcrypt hash" in done.output
    assert boxes[1].check_output("cat /etc/xengt/web.yml") == before

    for name in ("xengt_certificate", "xengt_key", "xengt_client_ca", "xengt_users"):
        del fleet.boxes["second"][name]
    assert fleet.play("--limit", "second", "--tags", "config").changed("second") == 3
    assert fleet.play(playbook=DISCOVERY).changed("here") == 1
    assert boxes[1].check_output("ls /etc/xengt").split() == ["serve.toml"]
    assert wait_for_scrape(
        lambda: scrape_targets(scraping) == dict.fromkeys(fleet.boxes, ("http", "up"))
    )


def test_the_given_package_is_installed_newer_or_older(boxes, fleet, deb, tmp_path):
    tree, newer = tmp_path / "tree", tmp_path / "newer.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN" / "control"
    version = subprocess.check_output(["dpkg-deb", "--field", deb, "Version"], text=True).strip()
    control.write_text(control.read_text().replace(f"Version: {version}", f"Version: {version}+1"))
    words = ["dpkg-deb", "--build", "--root-owner-group", "-Zxz", tree, newer]
    subprocess.run(words, check=True)
    version_and_config = "dpkg-query -W -f '${Version}' xengt; cat /etc/xengt/serve.toml"
    settings = boxes[0].check_output("cat /etc/xengt/serve.toml")
    for package_file, expected in ((newer, f"{version}+1"), (deb, version)):
        done = fleet.play("--limit", "first", xengt_package=str(package_file))
        assert done.changed("first") == 2  # copied, installed
        assert boxes[0].check_output(version_and_config) == expected + settings
        assert service(boxes[0])["ActiveState"] == "active"


def test_an_invalid_package_leaves_the_installed_one(boxes, fleet, tmp_path):
    broken = tmp_path / "broken.deb"
    broken.write_text("!<arch>\n")
    before = service(boxes[0])
    done = fleet.play("--limit", "first", "--tags", "package", xengt_package=str(broken))
    assert done.code != 0
    assert "/var/cache/xengt.deb" in done.output
    assert service(boxes[0]) == before


def test_copies_of_a_host_have_its_series(boxes, tmp_path):
    pages = tmp_path / "pages"
    record_pages(f"http://127.0.0.1:{boxes[0].port}/metrics", pages, every_s=EVERY_S, count=4)
    cost = measure(pages, 5, RULES)
    assert cost.up == 5
    assert cost.series_a_page > 1000
    # Prometheus adds five series per target, and the rules record more.
    assert 5 * (cost.series_a_page + 5) <= cost.series < 5 * (cost.series_a_page + 100)
    assert cost.samples_s > 0.9 * 5 * cost.series_a_page / EVERY_S
    assert cost.rules_failed == 0


@pytest.mark.parametrize("which", [0, 1], ids=["stock", "patched"])
def test_series_add_up_per_host_operation_and_domain(boxes, which):
    boxes[which].put(HERE / "dom0" / "cardinality.py")
    found = json.loads(boxes[which].check_output("python3 /root/cardinality.py", timeout=900))
    print(found)
    kinds = ("box", "probe", "operation", "passive", "domain")
    assert all(found[kind] > 0 and found[kind] == int(found[kind]) for kind in kinds)
    whole = found["box"] + found["probe"] + 16 * found["operation"]
    assert found["default"] == whole + found["domains"] * found["domain"]


def test_absent_leaves_nothing(boxes, files_before, fleet, scraping):
    fleet.common["xengt_state"] = "absent"
    assert min(fleet.changes()) > 0
    assert [box.check_output(FILES, timeout=900) for box in boxes] == files_before
    assert fleet.discovery_entries() == {}
    assert wait_for_scrape(lambda: by_box(scraping, "up") == {})
    assert fleet.changes() == (0, 0)
