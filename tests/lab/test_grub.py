"""deploy/hypervisor on a host that boots through GRUB: the hypervisor of each boot."""

import subprocess
from pathlib import Path

import pytest
from hvlib import build
from hvlib.names import IMAGE
from lablib import cache, places, record

from tests.lab.lab_dom0 import LAB, ROOT, Dom0

pytestmark = [pytest.mark.long, pytest.mark.untimed]

NAME = "tests-grub"
COMMANDS = ROOT / "deploy" / "hypervisor"
#: too little memory for dom0's kernel, so that Xen panics and resets the machine
PANIC = "dom0_mem=1M,max:1M"
FILES = (
    "cd / && find boot etc/grub.d etc/default var/lib/xengt-hypervisor -type f"
    " -exec sha256sum {} + | sort"
)
ID = """python3 -c 'print(open("/sys/hypervisor/properties/buildid", "rb").read().hex())'"""


class Machine(Dom0):
    """The dom0 of a lab that boots through its own GRUB."""

    def reboot(self) -> str:
        """Reboot; returns the console output until dom0 is ready again."""
        console = record.load(self.name).console
        begin = console.stat().st_size
        subprocess.run([LAB, "reboot", "--name", self.name], check=True)
        return console.read_bytes()[begin:].decode("utf-8", "replace")

    def build_id(self) -> str:
        return self.check_output(ID).strip()


@pytest.fixture(scope="module")
def deb() -> Path:
    """The package of the patched hypervisor, or of the unpatched one in a tree without patches."""
    variant = "patched" if (places.PATCHES / "series").is_file() else "stock"
    return build.build(cache.Cache(places.cache_root()), variant, 2)


@pytest.fixture(scope="module")
def machine(deb):
    subprocess.run([LAB, "down", "--name", NAME], check=True, capture_output=True)
    subprocess.run([LAB, "up", "--name", NAME, "--grub"], check=True)
    try:
        box = Machine(NAME)
        box.put(COMMANDS, deb)
        yield box
    finally:
        subprocess.run([LAB, "down", "--name", NAME], check=True)


def test_package_build_is_reproducible(deb):
    content = deb.read_bytes()
    variant = "patched" if "+xengt.patched." in deb.name else "stock"
    cache.remove(deb.parent)
    again = build.build(cache.Cache(places.cache_root()), variant, 2)
    assert again == deb
    assert again.read_bytes() == content


def test_boots_once_and_permanently_only_when_confirmed(machine, deb):
    install = f"hypervisor/install {deb.name}"
    stock = machine.build_id()
    before = machine.check_output(FILES)
    ours = machine.check_output(f"dpkg-deb --field {deb.name} Xengt-Build-Id").strip()
    assert stock != ours

    # It boots once; the next boot returns to stock without intervention.
    machine.check_output(install, timeout=900)
    assert machine.run("hypervisor/confirm").returncode == 2
    machine.reboot()
    assert machine.build_id() == ours
    assert "noreboot=no" in machine.check_output("xl info xen_commandline")
    machine.reboot()
    assert machine.build_id() == stock

    # It panics at boot, which returns to stock.
    machine.check_output(f"{install} --xen-args {PANIC}", timeout=900)
    console = machine.reboot()
    assert f"build-id: {ours}" in console
    assert "Panic on CPU 0" in console
    assert machine.build_id() == stock

    # Once confirmed, it boots every time.
    machine.check_output(install, timeout=900)
    machine.reboot()
    machine.check_output("hypervisor/confirm")
    machine.reboot()
    assert machine.build_id() == ours
    assert "noreboot" not in machine.check_output("xl info xen_commandline")

    # GRUB falls back to stock if it cannot load the confirmed image; removal restores all files.
    machine.check_output(f"printf garbage | dd of=/{IMAGE} conv=notrunc; sync")
    assert machine.run("hypervisor/confirm").returncode == 3
    machine.reboot()
    assert machine.build_id() == stock
    machine.check_output("hypervisor/remove", timeout=900)
    assert machine.check_output(FILES) == before
    machine.reboot()
    assert machine.build_id() == stock
    assert machine.check_output(FILES) == before
