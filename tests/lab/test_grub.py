"""deploy/hypervisor on a box that boots through GRUB: what really boots, boot after boot."""

import subprocess
from pathlib import Path

import pytest
from hvlib import build
from hvlib.names import IMAGE
from lablib import cache, places, record

from tests.lab.reach import LAB, ROOT, Dom0

pytestmark = [pytest.mark.long, pytest.mark.untimed]

NAME = "tests-grub"
COMMANDS = ROOT / "deploy" / "hypervisor"
#: less than dom0's kernel needs: Xen panics, and resets the machine
PANIC = "dom0_mem=1M,max:1M"
FILES = (
    "cd / && find boot etc/grub.d etc/default var/lib/xengt-hypervisor -type f"
    " -exec sha256sum {} + | sort"
)
ID = """python3 -c 'print(open("/sys/hypervisor/properties/buildid", "rb").read().hex())'"""


class Machine(Dom0):
    """The box: each reboot goes where its own GRUB says."""

    def reboots(self) -> str:
        """What the console says until dom0 is ready again."""
        console = record.load(self.name).console
        begin = console.stat().st_size
        subprocess.run([LAB, "reboot", "--name", self.name], check=True)
        return console.read_bytes()[begin:].decode("utf-8", "replace")

    def build_id(self) -> str:
        return self.succeeds(ID).strip()


@pytest.fixture(scope="module")
def deb() -> Path:
    """The patched hypervisor's package; until this tree has patches, that of the same source."""
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


def test_the_same_input_is_the_same_package(deb):
    content = deb.read_bytes()
    variant = "patched" if "+xengt.patched." in deb.name else "stock"
    cache.remove(deb.parent)
    again = build.build(cache.Cache(places.cache_root()), variant, 2)
    assert again == deb
    assert again.read_bytes() == content


def test_once_then_stock_after_a_panic_too_and_for_good_only_when_confirmed(machine, deb):
    install = f"hypervisor/install {deb.name}"
    stock = machine.build_id()
    before = machine.succeeds(FILES)
    ours = machine.succeeds(f"dpkg-deb --field {deb.name} Xengt-Build-Id").strip()
    assert stock != ours

    # Booted once, and then stock without anybody's help.
    machine.succeeds(install, timeout=900)
    assert machine.run("hypervisor/confirm").returncode == 2
    machine.reboots()
    assert machine.build_id() == ours
    assert "noreboot=no" in machine.succeeds("xl info xen_commandline")
    machine.reboots()
    assert machine.build_id() == stock

    # A panic at boot.
    machine.succeeds(f"{install} --xen-args {PANIC}", timeout=900)
    said = machine.reboots()
    assert f"build-id: {ours}" in said
    assert "Panic on CPU 0" in said
    assert machine.build_id() == stock

    # Confirmed.
    machine.succeeds(install, timeout=900)
    machine.reboots()
    machine.succeeds("hypervisor/confirm")
    machine.reboots()
    assert machine.build_id() == ours
    assert "noreboot" not in machine.succeeds("xl info xen_commandline")

    # An image that GRUB cannot load, though it is confirmed; and all gone.
    machine.succeeds(f"printf garbage | dd of=/{IMAGE} conv=notrunc; sync")
    assert machine.run("hypervisor/confirm").returncode == 3
    machine.reboots()
    assert machine.build_id() == stock
    machine.succeeds("hypervisor/remove", timeout=900)
    assert machine.succeeds(FILES) == before
    machine.reboots()
    assert machine.build_id() == stock
    assert machine.succeeds(FILES) == before
