"""Which version of a source the lab takes, from an archive in the states that archives are in."""

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
from lablib.source.bases import KEPT, LINUX, XEN, base, pinned

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


#: the ends of lines about steps that each choice takes
NOISE = ("…", " s")


@pytest.fixture
def choose(tmp_path, archive, capsys):
    """Chooses a source; gives it, and the lines that the lab printed meanwhile."""

    def run(local=None):
        found = base(Cache(tmp_path / "cache"), archive.package, local)
        lines = capsys.readouterr().err.splitlines()
        return found, [line.removeprefix("lab: ") for line in lines if not line.endswith(NOISE)]

    return run


def grant_table(found):
    return (found.directory / "xen/xen/common/grant_table.c").read_text()


def test_a_pinned_version_needs_no_index_entry(choose, archive):
    """The index lists a version without files; the pool still has the pinned one."""
    archive.has(OLD)
    archive.lists(NEW)
    found, lines = choose()
    assert (found.version, found.offsets) == (OLD, False)
    response = lines.pop(1)
    assert response.startswith(f"  {archive.uri}/pool/main/x/xen/xen_4.20.4.orig.tar.xz: 404 ")
    assert lines == [
        f"Debian now has Xen {NEW}: xen_4.20.4.orig.tar.xz could not be downloaded",
        f"using Debian's Xen {OLD}{KEPT}",
    ]
    assert grant_table(found) == SOURCE
    assert (found.directory / "xen/README").read_text() == "Debian\n"
    assert [path.name for path in found.directory.iterdir()] == ["xen"]


def test_each_location_and_its_response_is_in_the_error(choose, archive, monkeypatch):
    """Neither the listed version nor the pinned one has files."""
    monkeypatch.setenv("XENGT_SECURITY_MIRROR", f"{archive.uri}/security")
    archive.lists(NEW)
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


def test_a_newer_version_is_used_where_the_series_applies_with_offsets(choose, archive):
    archive.has(OLD)
    archive.has(NEW, MOVED)
    archive.lists(NEW, MOVED)
    found, lines = choose()
    assert (found.version, found.offsets) == (NEW, True)
    assert lines == [
        f"Debian now has Xen {NEW}: the series applies with offsets",
        f"using Debian's Xen {NEW}{KEPT}",
    ]
    assert grant_table(found) == MOVED


def test_a_newer_version_that_the_series_does_not_apply_to_is_named(choose, archive):
    archive.has(OLD)
    archive.has(NEW, REWRITTEN)
    archive.lists(NEW, REWRITTEN)
    found, lines = choose()
    assert found.version == OLD
    assert re.fullmatch(
        rf"{PATCH_NAME} does not apply to Xen {NEW}: xen/common/grant_table\.c: Hunk #1 FAILED.*",
        lines[0],
    )
    assert lines[1] == f"using Debian's Xen {OLD}{KEPT}"


def test_a_file_with_another_checksum_is_rejected(choose, archive, tmp_path):
    archive.pins(pin(NEW), pin(OLD))
    archive.has(NEW, MOVED)
    archive.has(OLD)
    found, lines = choose()
    assert found.version == OLD
    assert lines[0] == f"Xen {NEW}: xen_4.20.4.orig.tar.xz could not be downloaded"
    archive.pins(pin(NEW))
    with pytest.raises(LabError) as error:
        choose()
    ((place, response),) = [detail.split(": ", 1) for detail in error.value.details]
    assert place == f"{archive.uri}/pool/main/x/xen/xen_4.20.4.orig.tar.xz"
    wrong = pin(NEW, MOVED).files["xen_4.20.4.orig.tar.xz"]
    right = pin(NEW).files["xen_4.20.4.orig.tar.xz"]
    assert response == f"rejected: its SHA-256 sum is {wrong}, not {right}"
    kept = [path.name for path in (tmp_path / "cache/download").iterdir()]
    assert wrong not in kept
    assert right not in kept


def test_a_version_that_does_not_unpack_is_passed_over(choose, archive):
    archive.pins(pin(OLD))
    archive.has(OLD)
    archive.has(NEW, readme="another\n")
    archive.lists(NEW, readme="another\n")
    found, lines = choose()
    assert found.version == OLD
    assert lines[0] == f"Debian now has Xen {NEW}: it does not unpack"


def test_a_pinned_version_that_does_not_unpack_is_a_fault_of_this_machine(choose, archive):
    archive.pins(pin(NEW, readme="another\n"), pin(OLD))
    archive.has(NEW, readme="another\n")
    archive.has(OLD)
    with pytest.raises(LabError, match=rf"Debian's xen {NEW} does not unpack") as error:
        choose()
    assert error.value.exit_code == 3
    assert error.value.log is not None


def test_an_exact_pin_allows_no_offset(choose, archive):
    archive.pins(replace(pin(OLD, MOVED), exact=True))
    archive.has(OLD, MOVED)
    found, lines = choose()
    assert (found.version, found.offsets) == (OLD, False)
    assert lines[0].startswith(f"{PATCH_NAME} does not apply exactly to Xen {OLD}: xen/common/gr")
    assert "offset 2 lines" in lines[0]


def test_an_archive_on_this_machine_is_copied(choose, archive, monkeypatch):
    """apt-helper makes a link to it, and what the archive does later is not verified."""
    archive.has(OLD)
    monkeypatch.setenv("XENGT_MIRROR", f"file:{archive.root}/")
    found, _ = choose()
    assert found.version == OLD
    kept = [*(found.directory.parents[1] / "download").glob("*/*")]
    assert len(kept) == 2
    assert not any(path.is_symlink() for path in kept)


def test_a_tree_without_pins_takes_what_the_index_lists(choose, archive):
    (archive.package.patches / "bases.toml").unlink()
    archive.has(NEW)
    archive.lists(NEW)
    found, lines = choose()
    assert found.version == NEW
    assert lines[0] == f"Debian now has Xen {NEW}: the series applies exactly"


def test_the_newest_pinned_version_that_can_be_had_is_used(choose, archive):
    archive.pins(pin(NEW), pin(OLD))
    archive.has(NEW)
    archive.has(OLD)
    assert choose()[0].version == NEW


def test_an_index_older_than_the_pins_changes_nothing(choose, archive):
    archive.pins(pin(NEW))
    archive.has(NEW)
    archive.lists(OLD)
    found, lines = choose()
    assert (found.version, lines) == (NEW, [f"using Debian's Xen {NEW}{KEPT}"])


def test_without_an_index_the_pins_serve(choose, archive):
    archive.has(OLD)
    shutil.rmtree(archive.root / "dists")
    found, lines = choose()
    assert found.version == OLD
    assert lines[0].startswith("Debian's index cannot be read (")
    assert lines[0].endswith("): only the versions that this tree pins are tried")


def test_an_index_without_debians_signature_is_not_believed(choose, archive, monkeypatch):
    monkeypatch.undo()
    assert index.TRUST.startswith("signed-by=/usr/share/keyrings/debian")
    monkeypatch.setenv("XENGT_MIRROR", archive.uri)
    archive.has(OLD)
    archive.has(NEW)
    archive.lists(NEW)
    found, lines = choose()
    assert found.version == OLD
    assert "is not signed" in lines[0]


def test_a_choice_is_kept_until_the_series_changes(choose, archive):
    archive.has(OLD)
    choose()
    archive.has(NEW)
    archive.lists(NEW)
    archive.asked.clear()
    found, lines = choose()
    assert (found.version, lines, archive.asked) == (OLD, [], [])
    (archive.package.patches / PATCH_NAME).write_text(f"More words.\n{PATCH}")
    assert choose()[0].version == NEW


def test_a_chosen_version_that_is_gone_is_chosen_anew(choose, archive, tmp_path):
    archive.has(OLD)
    choose()
    for kind in ("source", "download"):
        remove(tmp_path / "cache" / kind)
    archive.pins(pin(OLD), pin("4.20.2-1"))
    archive.has("4.20.2-1")
    choose()
    for kind in ("source", "download"):
        remove(tmp_path / "cache" / kind)
    shutil.rmtree(archive.root / "pool")
    archive.has("4.20.2-1")
    assert choose()[0].version == "4.20.2-1"


def test_a_series_that_applies_to_nothing_leaves_stock_its_source(choose, archive):
    """Somebody edits it: building the patched variant says which hunk does not apply."""
    archive.has(OLD)
    (archive.package.patches / PATCH_NAME).write_text(PATCH.replace("-line 10", "-line ten"))
    found, lines = choose()
    assert (found.version, found.offsets) == (OLD, False)
    assert lines[0].startswith(f"{PATCH_NAME} does not apply to Xen {OLD}: xen/common/grant")


@pytest.fixture(params=["directory", "git", "tarball"])
def tree(request, tmp_path):
    """A user's own tree of Xen, one line off."""
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


def test_a_local_tree_is_used_as_it_is_now(choose, archive, tree):
    archive.asked.clear()
    found, lines = choose(tree)
    assert (found.version, found.offsets, archive.asked) == (str(tree), True, [])
    assert lines == [f"{tree}: the series applies with offsets"]
    assert grant_table(found) == MOVED
    assert not (found.directory / "xen/.git").exists()
    assert (found.directory / "xen/ignored.o").exists() != (tree / ".git").exists()
    if tree.is_dir():
        (tree / "xen/common/grant_table.c").write_text(SOURCE)
        found, lines = choose(tree)
        assert (grant_table(found), found.offsets, lines) == (SOURCE, False, [])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", "cannot be read: .*No such file"),
        ("other", "this is no source of xen, it has no xen/common/grant_table"),
        ("other/file", "this is no tarball that tar can read"),
        ("other.tar.xz", "this is no source of xen"),
    ],
)
def test_a_local_tree_of_something_else_is_refused(choose, tmp_path, name, words):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("text")
    (tmp_path / "other.tar.xz").write_bytes(tarball({"linux-x/Makefile": ""}))
    with pytest.raises(LabError, match=words) as error:
        choose(tmp_path / name)
    assert f"--xen-source {tmp_path / name}" in error.value.what
    assert error.value.exit_code == 2
    assert list((tmp_path / "cache").glob("local-source/*")) == []


def test_a_links_target_is_part_of_a_local_tree(choose, tmp_path):
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
    ("words", "told"),
    [
        (["--xen-source", "x", "--hypervisor", "debian"], "--xen-source is for a hypervisor that"),
        (["--xen-source", "x", "--xen", "y"], "--xen-source is for a hypervisor that"),
        (["--linux-source", "x"], "--linux-source is for a kernel that is built"),
    ],
)
def test_a_source_that_would_not_be_used_is_refused(words, told):
    args = cli.parser().parse_args(["run", *words, "--", "true"])
    with pytest.raises(LabError, match=told) as error:
        cli.run(args)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("package", [XEN, LINUX], ids=lambda package: package.name)
def test_the_trees_own_pins_are_whole(package):
    """Each version has its two files, named as the pool names them, and the newest comes first."""
    versions = pinned(package.patches)
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


def test_the_command_prints_what_it_tried(archive, tmp_path):
    """With this tree's own series, of an archive that has none of its versions."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    words = [places.LAB / "lab", "source"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (4, "")
    for version in pinned(places.PATCHES):
        name = next(name for name in version.files if ".orig." in name).replace("+", "%2B")
        assert re.search(rf"{archive.uri}/pool/main/x/xen/{name}: 404", done.stderr)
