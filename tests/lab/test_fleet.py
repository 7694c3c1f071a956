"""deploy/fleet on two boxes at once: the agent comes, changes and goes, as a Prometheus sees."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from lablib import cache, places, qemu, record
from lablib.artifacts import package

from tests.fleet.cost import EVERY_S, measure
from tests.fleet.recording import record as record_pages
from tests.lab.agents import forwarded
from tests.lab.certificates import Authority
from tests.lab.playbook import FLEET, Played, play
from tests.lab.reach import LAB, Dom0
from tests.patience import patient
from tests.prometheus.server import RULES, Prometheus, config, prometheus, waits_until

pytestmark = [pytest.mark.long, pytest.mark.untimed]

NAMES = {"tests-fleet-1": (), "tests-fleet-2": ("--hypervisor", "patched")}
SITE = FLEET / "site.yml"
DISCOVERY = FLEET / "discovery.yml"
HERE = Path(__file__).parent
PORT = 9805
SCRAPED_S = 150
#: what a package, a service or Ansible could leave; logs and apt's own books aside
FILES = (
    "find / -xdev -path /proc -prune -o -path /sys -prune -o -path /tmp -prune -o -path /var/log"
    " -prune -o -path /var/lib/apt -prune -o -path /var/cache/apt -prune -o -path '/var/lib/dpkg/*'"
    " -prune -o -path /root -prune -o -name __pycache__ -prune -o -print | sort;"
    " find /run -name '*xengt*' ! -path '/run/systemd/*'; getent passwd; getent group; dpkg -l"
)


@dataclass(frozen=True)
class Box(Dom0):
    """A lab that Ansible manages, and that a port of this machine leads to.

    Attributes:
        port: on 127.0.0.1, of the agent in dom0.
    """

    port: int

    def variables(self) -> dict[str, object]:
        """How Ansible and the Prometheus reach it."""
        lab = record.load(self.name)
        assert lab is not None
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": lab.port,
            "ansible_ssh_private_key_file": str(lab.directory / "key"),
            "xengt_scrape_port": self.port,
        }


@pytest.fixture(scope="module")
def boxes(labs) -> Iterator[list[Box]]:
    # Two machines are what this one has room for.
    if not labs.stays:
        for variant in list(labs.up):
            labs.down(variant)
    with ExitStack() as stack:
        found = []
        for variant, options in NAMES.items():
            name = labs.prefix + variant
            subprocess.run([LAB, "down", "--name", name], check=True, capture_output=True)
            stack.callback(subprocess.run, [LAB, "down", "--name", name], check=True)
            subprocess.run([LAB, "up", "--name", name, *options], check=True)
            address = stack.enter_context(forwarded(Dom0(name)))
            found.append(Box(name, int(address.rpartition(":")[2])))
        yield found


@pytest.fixture(scope="module")
def deb(tmp_path_factory) -> Path:
    # The cache drops what others have used since.
    built = package.build(cache.Cache(places.cache_root()), 2)
    return Path(shutil.copy(built, tmp_path_factory.mktemp("package")))


class Fleet:
    """An inventory, and what is played to it."""

    def __init__(self, where: Path, boxes: list[Box], deb: Path) -> None:
        self.list = where / "prometheus" / "xengt" / "boxes.json"
        self.file = where / "inventory.json"
        self.boxes = {"first": boxes[0].variables(), "second": boxes[1].variables()}
        self.boxes["first"] |= {"xengt_site": "here"}
        self.boxes["second"] |= {"xengt_hypervisor": "patched"}
        self.common = {
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_pipelining": True,
            "ansible_ssh_transfer_method": "piped",  # dropbear has no sftp
            "ansible_ssh_common_args": "-F none -o IdentitiesOnly=yes"
            " -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
            "xengt_package": str(deb),
        }

    def play(self, *options: str, playbook: Path = SITE, **variables: object) -> Played:
        here = {"ansible_connection": "local", "ansible_become": False}
        here["ansible_python_interpreter"] = shutil.which("python3", path="/usr/bin")
        groups = {
            "prometheus": {"hosts": {"here": here}},
            "xengt": {"hosts": self.boxes, "vars": self.common},
        }
        self.file.write_text(json.dumps(groups))
        done = play(
            playbook,
            self.file,
            *options,
            timeout=3000,
            xengt_serial=len(self.boxes),
            xengt_discovery_file=str(self.list),
            **variables,
        )
        print(done.said)
        return done

    def changes(self, *options: str, **variables: object) -> tuple[int, int]:
        """Tasks that changed the first and the second box."""
        done = self.play(*options, **variables)
        return done.changed("first"), done.changed("second")

    def listed(self) -> dict[str, dict[str, str]]:
        """The boxes that the Prometheus is told of, with their labels."""
        entries = json.loads(self.list.read_text())
        return {each["labels"]["box"]: each["labels"] for each in entries}


@pytest.fixture(scope="module")
def fleet(boxes, deb, tmp_path_factory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("fleet"), boxes, deb)


def by_box(prometheus: Prometheus, query: str) -> dict[str, float]:
    """The values of a query, one of each box."""
    return {dict(labels)["box"]: value for labels, value in prometheus.query(query).items()}


def service(box: Box) -> dict[str, str]:
    shown = box.succeeds("systemctl show xengt.service -p ActiveState,UnitFileState,MainPID")
    return dict(line.split("=") for line in shown.split())


@pytest.fixture(scope="module")
def bare(boxes) -> list[str]:
    """What there is on each box without the agent, which the lab's image has."""
    for box in boxes:
        box.succeeds("DEBIAN_FRONTEND=noninteractive apt-get -qy purge xengt", timeout=900)
    return [box.succeeds(FILES, timeout=900) for box in boxes]


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def scraping(tmp_path_factory, fleet, authority) -> Iterator[Prometheus]:
    certificate, key = authority.signed("prometheus")
    job = {
        "job_name": "xengt",
        "file_sd_configs": [{"files": [f"{fleet.list.parent}/*.json"]}],
        "tls_config": {
            "ca_file": str(authority.certificate),
            "cert_file": str(certificate),
            "key_file": str(key),
        },
    }
    where = tmp_path_factory.mktemp("prometheus")
    with prometheus(where, config(job, {}, EVERY_S)) as running:
        yield running


def seen(condition: Callable[[], object]) -> object:
    """Wait until a scrape or two have shown it."""
    return waits_until(condition, 300)


def scraped(prometheus: Prometheus) -> dict[str, tuple[str, str]]:
    """By which scheme each box is scraped now, and how that goes."""
    targets = prometheus.api_get("targets", state="active")["activeTargets"]
    return {
        each["labels"]["box"]: (each["scrapeUrl"].partition(":")[0], each["health"])
        for each in targets
    }


# In this order: each test finds the boxes as the one before it left them.


def test_check_mode_says_what_it_would_do_and_does_nothing(boxes, bare, fleet):
    assert min(fleet.changes("--check")) > 0
    assert [box.succeeds(FILES, timeout=900) for box in boxes] == bare
    assert not fleet.list.exists()


def test_boxes_with_nothing_get_the_agent(boxes, fleet):
    assert min(fleet.changes()) > 0
    for box in boxes:
        found = service(box)
        assert (found["ActiveState"], found["UnitFileState"]) == ("active", "enabled")
    assert fleet.listed() == {
        "first": {"box": "first", "instance": "first", "site": "here"},
        "second": {"box": "second", "instance": "second", "hypervisor": "patched"},
    }


def test_the_same_again_changes_nothing(fleet):
    assert fleet.changes() == (0, 0)


def test_a_prometheus_finds_and_scrapes_them(scraping):
    assert seen(lambda: by_box(scraping, "up") == {"first": 1, "second": 1})
    time.sleep(SCRAPED_S)
    window = f"[{SCRAPED_S - 30}s]"
    assert by_box(scraping, f"avg_over_time(up{window})") == {"first": 1, "second": 1}
    assert min(by_box(scraping, f"count_over_time(up{window})").values()) >= 7
    assert set(by_box(scraping, "xengt_probe_cpu_budget_ratio").values()) == {0.01}


def test_a_wrong_configuration_is_refused_and_the_old_one_stays(boxes, fleet, scraping):
    before = [service(box) for box in boxes]
    done = fleet.play("--tags", "config", xengt_config={"probe": {"cpu_budget": 2}})
    assert done.code != 0
    assert "probe.cpu_budget = 2 cannot be" in done.said
    assert [service(box) for box in boxes] == before
    assert set(by_box(scraping, "xengt_probe_cpu_budget_ratio").values()) == {0.01}


def test_a_changed_variable_reloads_and_a_dead_box_keeps_no_other_from_it(boxes, fleet, scraping):
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
    assert [done.hosts[name]["changed"] for name in ("first", "second")] == [2, 2], done.said
    assert [service(box) for box in boxes] == before  # the same processes
    assert seen(
        lambda: by_box(scraping, "xengt_probe_cpu_budget_ratio") == {"first": 0.5, "second": 0.5}
    )
    # It is listed, and so is seen to be down, until it leaves the inventory.
    assert seen(lambda: by_box(scraping, "up") == {"first": 1, "second": 1, "third": 0})
    done = fleet.play(playbook=DISCOVERY)
    assert done.changed("here") == 1
    assert seen(lambda: set(by_box(scraping, "up")) == {"first", "second"})


def test_a_box_speaks_tls_to_those_with_a_certificate(boxes, fleet, scraping, authority):
    certificate, key = authority.signed("127.0.0.1")
    fleet.boxes["second"] |= {
        "xengt_certificate": str(certificate),
        "xengt_key": str(key),
        "xengt_client_ca": str(authority.certificate),
    }
    assert fleet.play("--limit", "second").changed("second") == 3  # the files, what names them
    assert fleet.play(playbook=DISCOVERY).changed("here") == 1
    assert boxes[1].succeeds("stat -c %U:%G:%a /etc/xengt/tls.key").strip() == "root:xengt:640"
    assert seen(lambda: scraped(scraping) == {"first": ("http", "up"), "second": ("https", "up")})
    with pytest.raises(OSError):  # noqa: PT011 (whichever way it hangs up)
        urllib.request.urlopen(f"http://127.0.0.1:{boxes[1].port}/metrics", timeout=patient(60))
    for name in ("xengt_certificate", "xengt_key", "xengt_client_ca"):
        del fleet.boxes["second"][name]
    assert fleet.play("--limit", "second", "--tags", "config").changed("second") == 3
    assert fleet.play(playbook=DISCOVERY).changed("here") == 1
    assert boxes[1].succeeds("ls /etc/xengt").split() == ["serve.toml"]
    assert seen(lambda: scraped(scraping) == dict.fromkeys(fleet.boxes, ("http", "up")))


def test_a_box_gets_the_package_that_is_given_newer_or_older(boxes, fleet, deb, tmp_path):
    tree, newer = tmp_path / "tree", tmp_path / "newer.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN" / "control"
    version = subprocess.check_output(["dpkg-deb", "--field", deb, "Version"], text=True).strip()
    control.write_text(control.read_text().replace(f"Version: {version}", f"Version: {version}+1"))
    words = ["dpkg-deb", "--build", "--root-owner-group", "-Zxz", tree, newer]
    subprocess.run(words, check=True)
    shown = "dpkg-query -W -f '${Version}' xengt; cat /etc/xengt/serve.toml"
    settings = boxes[0].succeeds("cat /etc/xengt/serve.toml")
    for given, expected in ((newer, f"{version}+1"), (deb, version)):
        done = fleet.play("--limit", "first", xengt_package=str(given))
        assert done.changed("first") == 2  # copied, installed
        assert boxes[0].succeeds(shown) == expected + settings
        assert service(boxes[0])["ActiveState"] == "active"


def test_what_is_no_package_leaves_the_one_that_is_there(boxes, fleet, tmp_path):
    broken = tmp_path / "broken.deb"
    broken.write_text("!<arch>\n")
    before = service(boxes[0])
    done = fleet.play("--limit", "first", "--tags", "package", xengt_package=str(broken))
    assert done.code != 0
    assert "/var/cache/xengt.deb" in done.said
    assert service(boxes[0]) == before


def test_copies_of_a_box_have_its_series(boxes, tmp_path):
    pages = tmp_path / "pages"
    record_pages(f"http://127.0.0.1:{boxes[0].port}/metrics", pages, every_s=EVERY_S, count=4)
    cost = measure(pages, 5, RULES)
    assert cost.up == 5
    assert cost.series_a_page > 1000
    # five of the Prometheus's own for each, and what the rules record
    assert 5 * (cost.series_a_page + 5) <= cost.series < 5 * (cost.series_a_page + 100)
    assert cost.samples_s > 0.9 * 5 * cost.series_a_page / EVERY_S
    assert cost.rules_failed == 0


@pytest.mark.parametrize("which", [0, 1], ids=["stock", "patched"])
def test_series_add_up_from_what_a_box_does(boxes, which):
    boxes[which].put(HERE / "dom0" / "cardinality.py")
    found = json.loads(boxes[which].succeeds("python3 /root/cardinality.py", timeout=900))
    print(found)
    kinds = ("box", "probe", "operation", "passive", "domain")
    assert all(found[kind] > 0 and found[kind] == int(found[kind]) for kind in kinds)
    whole = found["box"] + found["probe"] + 16 * found["operation"]
    assert found["default"] == whole + found["domains"] * found["domain"]


def test_absent_leaves_nothing(boxes, bare, fleet, scraping):
    fleet.common["xengt_state"] = "absent"
    assert min(fleet.changes()) > 0
    assert [box.succeeds(FILES, timeout=900) for box in boxes] == bare
    assert fleet.listed() == {}
    assert seen(lambda: by_box(scraping, "up") == {})
    assert fleet.changes() == (0, 0)
