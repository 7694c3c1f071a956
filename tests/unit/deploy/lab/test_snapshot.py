"""The cache keys of snapshots, and their number in the cache."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from lablib import cache as caches
from lablib import places, qemu, snapshot
from lablib.artifacts import image, package
from lablib.cache import Cache
from lablib.qemu import Machine


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """The image and the hypervisor of a machine, and a function that returns its snapshot's key."""
    monkeypatch.setattr(qemu, "version", lambda: "QEMU 7.2")
    disk, cache = tmp_path / "image", Cache(tmp_path / "cache")
    disk.mkdir()
    for name in ("vmlinuz", "initramfs", "id"):
        (disk / name).write_text(name)
    xen = tmp_path / "xen"
    xen.write_text("xen")
    machine = Machine(xen, guest_disk=True, monitor=Path("/run/a/monitor"))

    def key(started: str = "guest 256", image: Path = disk, **changes: object) -> str | None:
        found = snapshot.snapshot_for(cache, replace(machine, **changes), image, started)
        return found and found.name

    return disk, xen, key


@pytest.mark.parametrize(
    "changes",
    [
        {"exact": True},
        {"threads": "multi"},
        {"guest_disk": False},
        {"xen_args": "gnttab=no-fast-maptrack"},
        {"memory": 4096},
        {"dom0_memory": 1024},
        {"started": "guest 512"},
        {"started": "dom0"},
    ],
    ids=str,
)
def test_each_input_of_a_lab_changes_the_snapshot(inputs, changes):
    _, _, key = inputs
    assert key(**changes) != key()


@pytest.mark.parametrize("name", ["vmlinuz", "initramfs", "id"])
def test_the_content_of_the_image_changes_the_snapshot(inputs, name):
    disk, _, key = inputs
    before = key()
    (disk / name).write_text("another")
    assert key() != before


def test_hypervisor_kernel_and_qemu_change_the_snapshot(inputs, tmp_path, monkeypatch):
    disk, xen, key = inputs
    found = [key()]
    kernel = tmp_path / "kernel"
    shutil.copytree(disk, kernel)
    found.append(key(kernel=kernel))
    (kernel / "initramfs").write_text("another")
    found.append(key(kernel=kernel))
    xen.write_text("another")
    found.append(key())
    monkeypatch.setattr(qemu, "version", lambda: "QEMU 10.0")
    found.append(key())
    # A copy of the kernel has the same key.
    assert found[0] == found[1]
    assert len(set(found)) == 4


def test_the_path_of_the_image_changes_the_snapshot(inputs, tmp_path):
    disk, _, key = inputs
    shutil.copytree(disk, tmp_path / "elsewhere")
    assert key(image=tmp_path / "elsewhere") != key()


def test_paths_of_one_start_do_not_change_the_snapshot(inputs, tmp_path):
    _, xen, key = inputs
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(xen, other / "xen")
    again = {"xen": other / "xen", "monitor": Path("/run/b/monitor"), "overlays": other}
    assert key(**again, resume=True) == key()


@pytest.mark.parametrize(
    "changes", [{"iommu": "strict-amd"}, {"dom0": "pvh"}, {"monitor": None}], ids=str
)
def test_a_machine_that_qemu_cannot_save_has_no_snapshot(inputs, changes):
    _, _, key = inputs
    assert key(**changes) is None


def test_a_machine_with_overlays_writes_to_them():
    words = Machine(Path("/x/xen"), guest_disk=True, overlays=Path("/home")).command(1, "", Path())
    drives = [word for word in words if word.startswith("id=") and "file=" in word]
    assert ["file=/home/dom0.qcow2,format=qcow2" in each for each in drives] == [True, False]
    assert ["file=/home/guest.qcow2,format=qcow2" in each for each in drives] == [False, True]
    assert "-loadvm" not in words


def test_a_resumed_machine_loads_its_snapshot():
    machine = Machine(Path("/x/xen"), overlays=Path("/home"), resume=True)
    words = machine.command(1, "", Path())
    assert words[words.index("-loadvm") + 1] == qemu.SNAPSHOT


def test_snapshots_are_limited_by_their_bytes_on_disk(tmp_path, monkeypatch):
    monkeypatch.setitem(caches.MAX_BYTES_BY_KIND, "snapshot", 5 << 20)
    cache = Cache(tmp_path)

    def make(entry: Path) -> None:
        (entry / "dom0.qcow2").write_bytes(os.urandom(2 << 20))

    for age, name in enumerate(("first", "second")):
        os.utime(cache.entry("snapshot", name, make), (1000 + age, 1000 + age))
    cache.touch(tmp_path / "snapshot/first")
    cache.entry("snapshot", "third", make)
    assert sorted(each.name for each in (tmp_path / "snapshot").iterdir()) == ["first", "third"]


def test_the_newest_snapshot_is_kept_whatever_its_size(tmp_path, monkeypatch):
    monkeypatch.setitem(caches.MAX_BYTES_BY_KIND, "snapshot", 1)
    path = Cache(tmp_path).entry(
        "snapshot", "one", lambda entry: (entry / "dom0.qcow2").write_bytes(b"x")
    )
    assert path.exists()


def test_a_missing_snapshot_is_not_copied(tmp_path):
    found = snapshot.Snapshot(Cache(tmp_path), "none", Machine(Path()))
    assert not found.copy_to(tmp_path)


def test_no_snapshot_is_saved_without_free_disk_space(tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    snapshot.Snapshot(Cache(tmp_path), "one", Machine(Path())).save(tmp_path)
    assert "no snapshot is saved: " in capsys.readouterr().err


def test_a_failure_to_save_is_only_reported(tmp_path, capsys):
    snapshot.Snapshot(Cache(tmp_path), "one", Machine(Path())).save(tmp_path)
    assert "monitor cannot be reached" in capsys.readouterr().err
    assert not (tmp_path / "snapshot/one").exists()


def test_the_image_depends_only_on_the_modules_that_run_in_the_guest():
    found = {
        str(path.relative_to(places.TREE))
        for path in image.imported_files(places.TREE, image.GRANTER)
    }
    assert {"xengt/cli/share.py", "xengt/sharing/gntalloc.py", "xenlib_cffi/gnttab.py"} <= found
    assert not found & {"xengt/cli/bench.py", "xengt/compare/document.py", "xenlib_cffi/loop.py"}
    assert found < {str(path.relative_to(places.TREE)) for path in package.files(places.TREE)}
