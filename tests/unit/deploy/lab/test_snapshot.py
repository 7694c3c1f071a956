"""Which saved lab is resumed, and how many are kept."""

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
    """A machine and its image, and the key of their snapshot."""
    monkeypatch.setattr(qemu, "version", lambda: "QEMU 7.2")
    disk, cache = tmp_path / "image", Cache(tmp_path / "cache")
    disk.mkdir()
    for name in ("vmlinuz", "initramfs", "id"):
        (disk / name).write_text(name)
    xen = tmp_path / "xen"
    xen.write_text("xen")
    machine = Machine(xen, guest_disk=True, monitor=Path("/run/a/monitor"))

    def key(started: str = "guest 256", image: Path = disk, **changes: object) -> str | None:
        found = snapshot.of(cache, replace(machine, **changes), image, started)
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
def test_another_lab_has_another_snapshot(inputs, changes):
    _, _, key = inputs
    assert key(**changes) != key()


@pytest.mark.parametrize("name", ["vmlinuz", "initramfs", "id"])
def test_another_image_has_another_snapshot(inputs, name):
    disk, _, key = inputs
    before = key()
    (disk / name).write_text("another")
    assert key() != before


def test_another_hypervisor_kernel_or_qemu_has_another_snapshot(inputs, tmp_path, monkeypatch):
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
    # A kernel of the same content is the same, wherever it is.
    assert found[0] == found[1]
    assert len(set(found)) == 4


def test_an_image_elsewhere_has_another_snapshot(inputs, tmp_path):
    disk, _, key = inputs
    shutil.copytree(disk, tmp_path / "elsewhere")
    assert key(image=tmp_path / "elsewhere") != key()


def test_what_differs_between_two_starts_of_a_lab_does_not_matter(inputs, tmp_path):
    _, xen, key = inputs
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(xen, other / "xen")
    again = {"xen": other / "xen", "monitor": Path("/run/b/monitor"), "overlays": other}
    assert key(**again, resumes=True) == key()


@pytest.mark.parametrize("changes", [{"iommu": "strict-amd"}, {"monitor": None}], ids=str)
def test_what_qemu_cannot_save_has_none(inputs, changes):
    _, _, key = inputs
    assert key(**changes) is None


def test_a_lab_that_can_be_saved_writes_to_overlays():
    words = Machine(Path("/x/xen"), guest_disk=True, overlays=Path("/home")).command(1, "", Path())
    drives = [word for word in words if word.startswith("id=") and "file=" in word]
    assert ["file=/home/dom0.qcow2,format=qcow2" in each for each in drives] == [True, False]
    assert ["file=/home/guest.qcow2,format=qcow2" in each for each in drives] == [False, True]
    assert "-loadvm" not in words


def test_a_lab_that_resumes_says_so():
    machine = Machine(Path("/x/xen"), overlays=Path("/home"), resumes=True)
    words = machine.command(1, "", Path())
    assert words[words.index("-loadvm") + 1] == qemu.SNAPSHOT


def test_the_snapshots_used_last_are_kept_within_a_number_of_bytes(tmp_path, monkeypatch):
    monkeypatch.setitem(caches.KEPT_BYTES, "snapshot", 5 << 20)
    cache = Cache(tmp_path)

    def make(entry: Path) -> None:
        (entry / "dom0.qcow2").write_bytes(os.urandom(2 << 20))

    for age, name in enumerate(("first", "second")):
        os.utime(cache.entry("snapshot", name, make), (1000 + age, 1000 + age))
    cache.touch(tmp_path / "snapshot/first")
    cache.entry("snapshot", "third", make)
    assert sorted(each.name for each in (tmp_path / "snapshot").iterdir()) == ["first", "third"]


def test_one_snapshot_is_kept_however_large_it_is(tmp_path, monkeypatch):
    monkeypatch.setitem(caches.KEPT_BYTES, "snapshot", 1)
    path = Cache(tmp_path).entry(
        "snapshot", "one", lambda entry: (entry / "dom0.qcow2").write_bytes(b"x")
    )
    assert path.exists()


def test_a_snapshot_that_is_not_there_is_not_resumed(tmp_path):
    found = snapshot.Snapshot(Cache(tmp_path), "none", Machine(Path()))
    assert not found.copy_to(tmp_path)


def test_a_full_disk_gets_no_snapshot(tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    snapshot.Snapshot(Cache(tmp_path), "one", Machine(Path())).save(tmp_path)
    assert "this lab is not saved: " in capsys.readouterr().err


def test_a_lab_that_cannot_be_saved_is_no_failure(tmp_path, capsys):
    snapshot.Snapshot(Cache(tmp_path), "one", Machine(Path())).save(tmp_path)
    assert "monitor cannot be reached" in capsys.readouterr().err
    assert not (tmp_path / "snapshot/one").exists()


def test_the_image_changes_with_what_the_guest_runs_and_with_nothing_else_of_the_package():
    found = {
        str(path.relative_to(places.TREE)) for path in image.imported(places.TREE, image.GRANTER)
    }
    assert {"xengt/cli/share.py", "xengt/sharing/gntalloc.py", "xenlib_cffi/gnttab.py"} <= found
    assert not found & {"xengt/cli/bench.py", "xengt/compare/comparison.py", "xenlib_cffi/loop.py"}
    assert found < {str(path.relative_to(places.TREE)) for path in package.files(places.TREE)}
