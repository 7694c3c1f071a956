"""The Debian package in dom0: installation, upgrade and purge, which removes everything."""

import re
import subprocess
from pathlib import Path

import pytest
from lablib import places
from lablib.artifacts import package
from lablib.cache import Cache

from tests.lab.lab_dom0 import leftovers
from tests.lab.service import CONFIG, UNIT, Service, wait_until

pytestmark = [pytest.mark.long, pytest.mark.untimed]

APT = "DEBIAN_FRONTEND=noninteractive apt-get -qy -o Dpkg::Options::=--force-confold"
#: a configuration changed by the administrator
CHANGED = "[probe]\ninterval_s = 1\ncpu_budget = 0.9\n"
#: first line of the default configuration in the newer package
SHIPPED = "# a newer package's\n"

#: Lists all files, checksums of configuration files, and installed packages; omits logs, files of
#: this test, and the records of apt, dpkg and the account tools.
LISTING = r"""
set -e -o pipefail
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /root \
    -o -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg \) -prune \
    -o ! -name 'passwd-' ! -name 'group-' ! -name 'shadow-' ! -name 'gshadow-' ! -name .pwd.lock \
    -printf '%y %m %U %G %p %l\n' | sort
find /run -xdev -path '*xengt*' ! -path '*-lab*' | sort
find /etc /var/lib/systemd -xdev -type f ! -name '*-' -exec sha256sum {} + | sort -k 2
dpkg --get-selections | sort
"""


def newer(deb: Path, directory: Path) -> tuple[Path, str]:
    """Return the package with a higher version and another configuration, and that version."""
    tree = directory / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN" / "control"
    text, found = re.subn(r"(?m)^(Version: .*)$", r"\1+1", control.read_text())
    assert found == 1
    control.write_text(text)
    config = tree / CONFIG.lstrip("/")
    config.write_text(SHIPPED + config.read_text())
    made = directory / "newer.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, made], check=True)
    return made, re.search(r"(?m)^Version: (.*)$", text)[1]


@pytest.fixture(scope="module")
def deb() -> Path:
    return package.build(Cache(places.cache_root()), 2)


@pytest.fixture
def without(dom0, deb):
    """A dom0 without the package, which is installed again afterwards as in the lab's image."""
    dom0.put(deb)
    dom0.check_output("dpkg --purge xengt", timeout=600)
    yield dom0
    dom0.check_output("dpkg --purge xengt", timeout=600)
    dom0.check_output(f"{APT} install ./{deb.name}", timeout=600)
    dom0.check_output(f"systemctl disable --now {UNIT}")


def test_installation_upgrade_and_purge(without, deb, tmp_path):
    dom0 = without
    before = set(dom0.check_output(LISTING).splitlines())
    assert len(before) > 1000
    assert dom0.run("id", "xengt").returncode != 0

    # Installation enables and starts the unit.
    dom0.check_output(f"{APT} install ./{deb.name}", timeout=600)
    service = Service(dom0)
    assert service.properties("ActiveState", "UnitFileState") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
    }
    assert wait_until(lambda: service.rounds() >= 1)

    # An upgrade restarts the unit and keeps the administrator's configuration.
    service.configure(CHANGED)
    pid = service.properties("MainPID")["MainPID"]
    made, version = newer(deb, tmp_path)
    dom0.put(made)
    dom0.check_output(f"{APT} install ./{made.name}", timeout=600)
    assert dom0.check_output("dpkg-query -W -f '${Version}' xengt") == version
    assert dom0.check_output("cat", CONFIG) == CHANGED
    assert dom0.check_output(f"head -1 {CONFIG}.dpkg-dist") == SHIPPED
    assert service.properties("ActiveState")["ActiveState"] == "active"
    assert service.properties("MainPID")["MainPID"] not in {"0", pid}
    assert wait_until(lambda: service.rounds() >= 2)

    # Removal keeps the administrator's files; purge removes everything.
    dom0.check_output("touch /etc/xengt/tls.key")
    dom0.check_output(f"{APT} remove xengt", timeout=600)
    assert dom0.run("pgrep", "-x", "xengt").returncode == 1
    assert dom0.check_output("cat", CONFIG) == CHANGED
    dom0.check_output(f"{APT} purge xengt", timeout=600)
    assert set(dom0.check_output(LISTING).splitlines()) ^ before == set()
    assert service.properties("LoadState") == {"LoadState": "not-found"}
    assert dom0.run("id", "xengt").returncode != 0
    dom0.check_output(f"{APT} install ./{deb.name}; systemctl stop {UNIT}", timeout=600)
    assert leftovers(dom0) == ""


def test_the_packages_own_test_passes(dom0):
    dom0.put(places.TREE / "deploy" / "debian" / "tests" / "without-xen")
    done = dom0.run("sh", "/root/without-xen", timeout=600)
    assert (done.returncode, done.stderr) == (0, "")


def test_outside_dom0_the_unit_is_installed_but_does_not_start(without, deb):
    dom0 = without
    # The file is empty in a guest.
    dom0.check_output("mount --bind /dev/null /proc/xen/capabilities")
    try:
        dom0.check_output(f"{APT} install ./{deb.name}", timeout=600)
        service = Service(dom0)
        assert service.properties("ActiveState", "Result", "UnitFileState") == {
            "ActiveState": "inactive",
            "Result": "exec-condition",
            "UnitFileState": "enabled",
        }
        assert "not started, because this is not a dom0" in dom0.run("xengt", "check").stdout
        assert dom0.check_output("systemctl list-units --failed --no-legend").strip() == ""
    finally:
        dom0.check_output("umount /proc/xen/capabilities")
