"""Every step boots, maps and unmaps, and leaves the hypervisor nothing to complain of."""

import os
import subprocess

import pytest
from lablib import places
from lablib.bases import XEN, Base, base
from lablib.cache import Cache
from lablib.hypervisor import label
from lablib.roots import build_root
from lablib.series import patches
from lablib.tree import Tree

from tests.lab.lab_dom0 import LAB, hypervisor_complaints

MAPS = (
    "xl info | grep xen_changeset && xengt bench --engine hypercall --engine gntdev"
    " --granter empty --granter guest --batch 1 --batch 32 --samples 50 >/dev/null"
    " && /usr/lib/xen-4.20/bin/test-resource && echo '# what Xen said' && xl dmesg"
)


@pytest.mark.series
def test_a_step_boots_and_maps(built, step):
    xen = built("patched", step) / "xen"
    done = subprocess.run(
        [LAB, "run", "--xen", xen, "--guest", "--timeout", "300", "--", MAPS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    before, _, console = done.stdout.partition("# what Xen said")
    assert f"xengt {step} patch" in before
    assert hypervisor_complaints(console) == []


@pytest.mark.series
def test_a_build_from_nothing_is_the_same(built, tmp_path):
    """What is built in the tree of another build, to the last byte: the other is built here."""
    cache = Cache(places.cache_root())
    entry = built("patched")
    origin, applied = base(cache, XEN), patches()
    subprocess.run(["cp", "-a", f"{origin.directory}/.", tmp_path / "source"], check=True)
    for patch in applied:
        words = ["patch", "--strip=1", "--directory", tmp_path / "source/xen"]
        subprocess.run(words, input=patch.content, check=True)
    (tmp_path / "made").mkdir()
    with cache.locked("hypervisor"):
        log = cache.log("hypervisor")
        again = Base(tmp_path / "source", origin.version)
        tree = Tree(build_root(cache), again, log, debug=False)
        tree.build([], label("patched", applied), os.cpu_count() or 1, tmp_path / "made")
    for name in ("xen", "xen-syms", ".config"):
        assert (tmp_path / "made" / name).read_bytes() == (entry / name).read_bytes(), name
