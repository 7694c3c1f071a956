"""The selection of a source version, with archives in different states."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise

import pytest
from lablib import cli, places
from lablib.cache import Cache, remove
from lablib.errors import LabError
from lablib.source import index
from lablib.source.bases import LINUX, UNTIL, XEN, base, pinned_versions

from tests.unit.archive import (
    MOVED,
    NEW,
    OLD,
    PATCH,
    PATCH_NAME,
    REWRITTEN,
    SOURCE,
    archive,
    pin,
    tarball,
)

__all__ = ["archive"]  # a fixture


#: ends of the lines about steps
STEPS = ("…", " s")


@pytest.fixture
def choose(tmp_path, archive, capsys):
    """Return a function that selects a source; it returns the source and the printed lines."""

    def run(local=None):
        found = base(Cache(tmp_path / "cache"), archive.package, local)
        lines = capsys.readouterr().err.splitlines()
        return found, [line.removeprefix("lab: ") for line in lines if not line.endswith(STEPS)]

    return run


def grant_table(found):
    return (found.directory / "xen/xen/common/grant_table.c").read_text()


def test_a_pinned_version_is_used_without_an_index_entry(choose, archive):
    """The index has a version without files in the pool; the pool has the pinned version."""
    archive.add_files(OLD)
    archive.write_index(NEW)
    found, lines = choose()
    assert (found.version, found.offsets) == (OLD, False)
    response = lines.pop(1)
    assert response.startswith(f"  {archive.uri}/pool/main/x/xen/xen_4.20.4.orig.tar.xz: 404 ")
    assert lines == [
        f"Debian now has Xen {NEW}: xen_4.20.4.orig.tar.xz could not be downloaded",
        f"using Debian's Xen {OLD}{UNTIL}",
    ]
    assert grant_table(found) == SOURCE
    assert (found.directory / "xen/README").read_text() == "Debian\n"
    assert [path.name for path in found.directory.iterdir()] == ["xen"]


def test_the_error_has_each_location_and_its_response(choose, archive, monkeypatch):
    """The pool has neither the version of the index nor the pinned version."""
    monkeypatch.setenv("XENGT_SECURITY_MIRROR", f"{archive.uri}/security")
    archive.write_index(NEW)
    with pytest.raises(LabError, match=r"no source of Xen 4\.20 .*can be downloaded") as error:
        choose()
    assert error.value.exit_code == 2
    assert "--xen-source PATH" in error.value.remedy
    places = [detail.partition(": ")[0] for detail in error.value.details]
    assert places == [
        f"{archive.uri}{pool}/x/xen/xen_{version}.orig.tar.xz"
        for version in ("4.20.4", "4.20.3")
        for pool in ("/pool/main", "/security/pool/updates/main")
    ]
    assert all("404" in detail for detail in error.value.details)


def test_a_newer_version_is_used_if_the_series_applies_with_offsets(choose, archive):
    archive.add_files(OLD)
    archive.add_files(NEW, MOVED)
    archive.write_index(NEW, MOVED)
    found, lines = choose()
    assert (found.version, found.offsets) == (NEW, True)
    assert lines == [
        f"Debian now has Xen {NEW}: the series applies with offsets",
        f"using Debian's Xen {NEW}{UNTIL}",
    ]
    assert grant_table(found) == MOVED


def test_a_newer_version_that_the_series_does_not_apply_to_is_reported(choose, archive):
    archive.add_files(OLD)
    archive.add_files(NEW, REWRITTEN)
    archive.write_index(NEW, REWRITTEN)
    found, lines = choose()
    assert found.version == OLD
    assert re.fullmatch(
        rf"{PATCH_NAME} does not apply to Xen {NEW}: xen/common/grant_table\.c: Hunk #1 FAILED.*",
        lines[0],
    )
    assert lines[1] == f"using Debian's Xen {OLD}{UNTIL}"


def test_a_file_with_another_checksum_is_rejected(choose, archive, tmp_path):
    archive.write_pins(pin(NEW), pin(OLD))
    archive.add_files(NEW, MOVED)
    archive.add_files(OLD)
    found, lines = choose()
    assert found.version == OLD
    assert lines[0] == f"Xen {NEW}: xen_4.20.4.orig.tar.xz could not be downloaded"
    archive.write_pins(pin(NEW))
    with pytest.raises(LabError) as error:
        choose()
    ((place, response),) = [detail.split(": ", 1) for detail in error.value.details]
    assert place == f"{archive.uri}/pool/main/x/xen/xen_4.20.4.orig.tar.xz"
    wrong = pin(NEW, MOVED).files["xen_4.20.4.orig.tar.xz"]
    right = pin(NEW).files["xen_4.20.4.orig.tar.xz"]
    assert response == f"rejected: the SHA-256 sum is {wrong}, not {right}"
    cached = [path.name for path in (tmp_path / "cache/download").iterdir()]
    assert wrong not in cached
    assert right not in cached


def test_a_version_that_cannot_be_unpacked_is_skipped(choose, archive):
    archive.write_pins(pin(OLD))
    archive.add_files(OLD)
    archive.add_files(NEW, readme="another\n")
    archive.write_index(NEW, readme="another\n")
    found, lines = choose()
    assert found.version == OLD
    assert lines[0] == f"Debian now has Xen {NEW}: the source cannot be unpacked"


def test_a_pinned_version_that_cannot_be_unpacked_is_an_error(choose, archive):
    archive.write_pins(pin(NEW, readme="another\n"), pin(OLD))
    archive.add_files(NEW, readme="another\n")
    archive.add_files(OLD)
    with pytest.raises(LabError, match=rf"Debian's xen {NEW} cannot be unpacked") as error:
        choose()
    assert error.value.exit_code == 3
    assert error.value.log is not None


def test_an_exact_pin_rejects_offsets(choose, archive):
    archive.write_pins(replace(pin(OLD, MOVED), exact=True))
    archive.add_files(OLD, MOVED)
    found, lines = choose()
    assert (found.version, found.offsets) == (OLD, False)
    assert lines[0].startswith(f"{PATCH_NAME} does not apply exactly to Xen {OLD}: xen/common/gr")
    assert "offset 2 lines" in lines[0]


def test_files_of_a_local_archive_are_copied(choose, archive, monkeypatch):
    """apt-helper creates a link, and the linked file may change after the verification."""
    archive.add_files(OLD)
    monkeypatch.setenv("XENGT_MIRROR", f"file:{archive.root}/")
    found, _ = choose()
    assert found.version == OLD
    cached = [*(found.directory.parents[1] / "download").glob("*/*")]
    assert len(cached) == 2
    assert not any(path.is_symlink() for path in cached)


def test_without_pins_the_version_of_the_index_is_used(choose, archive):
    (archive.package.patches / "bases.toml").unlink()
    archive.add_files(NEW)
    archive.write_index(NEW)
    found, lines = choose()
    assert found.version == NEW
    assert lines[0] == f"Debian now has Xen {NEW}: the series applies exactly"


def test_the_newest_available_pinned_version_is_used(choose, archive):
    archive.write_pins(pin(NEW), pin(OLD))
    archive.add_files(NEW)
    archive.add_files(OLD)
    assert choose()[0].version == NEW


def test_an_index_older_than_the_pins_is_ignored(choose, archive):
    archive.write_pins(pin(NEW))
    archive.add_files(NEW)
    archive.write_index(OLD)
    found, lines = choose()
    assert (found.version, lines) == (NEW, [f"using Debian's Xen {NEW}{UNTIL}"])


def test_without_an_index_a_pinned_version_is_used(choose, archive):
    archive.add_files(OLD)
    shutil.rmtree(archive.root / "dists")
    found, lines = choose()
    assert found.version == OLD
    assert lines[0].startswith("Debian's index cannot be read (")
    assert lines[0].endswith("): only the pinned versions are tried")


def test_an_index_without_debians_signature_is_ignored(choose, archive, monkeypatch):
    monkeypatch.undo()
    assert index.TRUST.startswith("signed-by=/usr/share/keyrings/debian")
    monkeypatch.setenv("XENGT_MIRROR", archive.uri)
    archive.add_files(OLD)
    archive.add_files(NEW)
    archive.write_index(NEW)
    found, lines = choose()
    assert found.version == OLD
    assert "is not signed" in lines[0]


def test_the_selection_is_kept_until_the_series_changes(choose, archive):
    archive.add_files(OLD)
    choose()
    archive.add_files(NEW)
    archive.write_index(NEW)
    archive.requests.clear()
    found, lines = choose()
    assert (found.version, lines, archive.requests) == (OLD, [], [])
    (archive.package.patches / PATCH_NAME).write_text(f"More words.\n{PATCH}")
    assert choose()[0].version == NEW


def test_a_selected_version_that_is_no_longer_available_is_replaced(choose, archive, tmp_path):
    archive.add_files(OLD)
    choose()
    for kind in ("source", "download"):
        remove(tmp_path / "cache" / kind)
    archive.write_pins(pin(OLD), pin("4.20.2-1"))
    archive.add_files("4.20.2-1")
    choose()
    for kind in ("source", "download"):
        remove(tmp_path / "cache" / kind)
    shutil.rmtree(archive.root / "pool")
    archive.add_files("4.20.2-1")
    assert choose()[0].version == "4.20.2-1"


def test_a_series_that_applies_to_no_version_selects_the_newest_pin(choose, archive):
    """The series is being edited: stock can be built, and the patched build reports the hunk."""
    archive.add_files(OLD)
    (archive.package.patches / PATCH_NAME).write_text(PATCH.replace("-line 10", "-line ten"))
    found, lines = choose()
    assert (found.version, found.offsets) == (OLD, False)
    assert lines[0].startswith(f"{PATCH_NAME} does not apply to Xen {OLD}: xen/common/grant")


@pytest.fixture(params=["directory", "git", "tarball"])
def tree(request, tmp_path):
    """A local source of Xen that the series applies to with an offset."""
    files = {"xen-x/xen/common/grant_table.c": MOVED, "xen-x/ignored.o": "made"}
    if request.param == "tarball":
        path = tmp_path / "xen.tar.xz"
        path.write_bytes(tarball(files))
        return path
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    path = tmp_path / "xen-x"
    if request.param == "git":
        subprocess.run(["git", "init", "-q", path], check=True)
        (path / ".gitignore").write_text("*.o\n")
    return path


def test_a_local_source_is_used_in_its_current_state(choose, archive, tree):
    archive.requests.clear()
    found, lines = choose(tree)
    assert (found.version, found.offsets, archive.requests) == (str(tree), True, [])
    assert lines == [f"{tree}: the series {archive.package.patches.name} applies with offsets"]
    assert grant_table(found) == MOVED
    assert not (found.directory / "xen/.git").exists()
    assert (found.directory / "xen/ignored.o").exists() != (tree / ".git").exists()
    if tree.is_dir():
        (tree / "xen/common/grant_table.c").write_text(SOURCE)
        found, lines = choose(tree)
        assert (grant_table(found), found.offsets, lines) == (SOURCE, False, [])


def test_a_local_source_that_no_series_applies_to_can_be_built_without_patches(choose, tmp_path):
    """As after a patch of the series has been applied by hand, to measure it alone."""
    path = tmp_path / "xen-x"
    (path / "xen/common").mkdir(parents=True)
    (path / "xen/common/grant_table.c").write_text(REWRITTEN)
    found, (line,) = choose(path)
    assert grant_table(found) == REWRITTEN
    assert line.startswith(f"{path}: only builds without patches are possible, as {PATCH_NAME}")


def test_the_series_that_fits_a_local_source_best_is_used(choose, archive, tree):
    """A release has a series of its own if the patches need another context there."""
    for name, change in [
        ("xen-0", ("line 10", "line ten")),
        ("xen-9", ("@@ -9,3 +9,3 @@", "@@ -11,3 +11,3 @@")),
    ]:
        directory = archive.package.patches.parent / name
        directory.mkdir()
        (directory / "series").write_text(f"{PATCH_NAME}\n")
        (directory / PATCH_NAME).write_text(PATCH.replace(*change))
    found, lines = choose(tree)
    assert (found.patches.name, found.offsets) == ("xen-9", False)
    assert lines == [f"{tree}: the series xen-9 applies exactly"]
    if tree.is_dir():
        (tree / "xen/common/grant_table.c").write_text(REWRITTEN)
        assert choose(tree)[0].patches.name == "xen-0"
        (tree / "xen/common/grant_table.c").write_text(SOURCE)
        found, lines = choose(tree)
        assert (found.patches, lines) == (archive.package.patches, [])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", "cannot be read: .*No such file"),
        ("other", "is not a source of xen: it has no xen/common/grant_table"),
        ("other/file", "is not a tarball that tar can read"),
        ("other.tar.xz", "is not a source of xen"),
    ],
)
def test_a_local_path_that_is_not_a_source_of_xen_is_an_error(choose, tmp_path, name, words):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("text")
    (tmp_path / "other.tar.xz").write_bytes(tarball({"linux-x/Makefile": ""}))
    with pytest.raises(LabError, match=words) as error:
        choose(tmp_path / name)
    assert f"--xen-source {tmp_path / name}" in error.value.what
    assert error.value.exit_code == 2
    assert list((tmp_path / "cache").glob("local-source/*")) == []


def test_the_target_of_a_link_is_part_of_a_local_source(choose, tmp_path):
    tree = tmp_path / "tree"
    (tree / "xen/common").mkdir(parents=True)
    (tree / "xen/common/grant_table.c").write_text(SOURCE)
    found = []
    for target in ("xen", "xen/common"):
        (tree / "link").unlink(missing_ok=True)
        (tree / "link").symlink_to(target)
        found.append(choose(tree)[0].directory)
        assert str((found[-1] / "xen/link").readlink()) == target
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--xen-source", "x", "--hypervisor", "debian"],
            "--xen-source has no effect on a hyper",
        ),
        (
            ["--xen-source", "x", "--xen", "y"],
            "--xen-source has no effect on a hyper",
        ),
        (["--linux-source", "x"], "--linux-source has no effect on Debian's kernel"),
    ],
)
def test_a_source_option_without_effect_is_an_error(words, message):
    args = cli.parser().parse_args(["run", *words, "--", "true"])
    with pytest.raises(LabError, match=message) as error:
        cli.run(args)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("package", [XEN, LINUX], ids=lambda package: package.name)
def test_the_pins_of_this_tree_are_complete(package):
    """Each version has its two files with their names in the pool, and the newest is first."""
    versions = pinned_versions(package.patches)
    for version in versions:
        assert version.name.startswith(f"{package.release}.")
        upstream = version.name.rpartition("-")[0]
        assert set(version.files) == {
            f"{package.name}_{upstream}.orig.tar.xz",
            f"{package.name}_{version.name}.debian.tar.xz",
        }
        assert all(re.fullmatch("[0-9a-f]{64}", sum_) for sum_ in version.files.values())
    for newer, older in pairwise(versions):
        words = ["dpkg", "--compare-versions", newer.name, "gt", older.name]
        assert subprocess.run(words, check=False).returncode == 0


def test_lab_source_prints_the_tried_locations(archive, tmp_path):
    """With the series of this tree and an archive without any of its versions."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    words = [places.LAB / "lab", "source"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (4, "")
    for version in pinned_versions(places.PATCHES):
        name = next(name for name in version.files if ".orig." in name).replace("+", "%2B")
        assert re.search(rf"{archive.uri}/pool/main/x/xen/{name}: 404", done.stderr)
