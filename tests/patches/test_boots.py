"""Every step of the series applies exactly, compiles without warnings, boots, maps and unmaps.

The checks of a step are one test, so that each step is built once: the cache keeps a few builds.
"""

import os
import subprocess

import pytest
from lablib import places
from lablib.artifacts.hypervisor import label
from lablib.artifacts.roots import build_root
from lablib.artifacts.xen_tree import Tree
from lablib.cache import Cache
from lablib.source.bases import XEN, Base, base
from lablib.source.series import patches

from tests.lab.lab_dom0 import LAB, hypervisor_complaints

COMMAND = (
    "xl info | grep xen_changeset && xengt bench --engine hypercall --engine gntdev"
    " --granter empty --granter guest --batch 1 --batch 32 --samples 50 >/dev/null"
    " && /usr/lib/xen-4.20/bin/test-resource && echo '# xl dmesg' && xl dmesg"
)


@pytest.mark.series
def test_a_step_boots_and_maps(built, step):
    # The build itself fails on fuzz, offsets and warnings.
    xen = built("patched", step) / "xen"
    image = xen.read_bytes()
    assert b"-xengt\0" in image
    assert f"xengt {step} patch".encode() in image
    done = subprocess.run(
        [LAB, "run", "--xen", xen, "--guest", "--timeout", "300", "--", COMMAND],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    before, _, console = done.stdout.partition("# xl dmesg")
    assert f"xengt {step} patch" in before
    assert hypervisor_complaints(console) == []
    is_whole = built("patched", step) == built("patched")
    assert is_whole == (step == len(list(places.PATCHES.glob("*.patch"))))


@pytest.mark.series
def test_a_build_from_scratch_is_identical(built, tmp_path):
    """An incremental build in an existing tree equals a build from scratch, byte for byte."""
    cache = Cache(places.cache_root())
    entry = built("patched")
    origin, applied = base(cache, XEN), patches()
    subprocess.run(["cp", "-a", f"{origin.directory}/.", tmp_path / "source"], check=True)
    for patch in applied:
        words = ["patch", "--strip=1", "--directory", tmp_path / "source/xen"]
        subprocess.run(words, input=patch.content, check=True)
    (tmp_path / "build").mkdir()
    with cache.locked("hypervisor"):
        log = cache.log("hypervisor")
        again = Base(tmp_path / "source", origin.version)
        tree = Tree(build_root(cache), again, log, debug=False)
        tree.build([], label("patched", applied), os.cpu_count() or 1, tmp_path / "build")
    for name in ("xen", "xen-syms", ".config"):
        assert (tmp_path / "build" / name).read_bytes() == (entry / name).read_bytes(), name
