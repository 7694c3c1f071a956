"""Incremental builds of a hypervisor, with a source of three files."""

import pytest
from lablib import places
from lablib.artifacts import roots
from lablib.artifacts.hypervisor import BUILT, label, series
from lablib.artifacts.xen_tree import STOCK, Label, Tree
from lablib.build_process import run
from lablib.errors import LabError
from lablib.source.bases import Base
from lablib.source.series import Patch, changeset, first_problem, kernel_patches, patches

#: Appends each compiled file to `compiled`, and prints a warning for each line that contains one.
MAKEFILE = """\
all: xen xen-syms
defconfig:
\techo CONFIG_DEBUG=y > .config
olddefconfig:
xenversion:
\t@echo 4.20.4-pre$(XEN_VENDORVERSION)
xen: a.o b.o ../.scmversion
\tcat a.o b.o ../.scmversion > $@
\techo $(XEN_FULLVERSION) $(XEN_VENDORVERSION) >> $@
xen-syms: xen
\tcp xen $@
%.o: %.c
\techo $< >> compiled
\tgrep -n warning: $< || true
\t! grep -n error: $<
\tcp $< $@
"""
LINES = [f"line {number}" for number in range(1, 21)]


def patch_of(name, old, new, *, at=None, file="xen/a.c"):
    """Return a patch of one hunk with three context lines; `at` overrides its line number."""
    index = LINES.index(old)
    first = max(0, index - 3)
    context = LINES[first : index + 4]
    start = at or first + 1
    body = "".join(f"-{line}\n+{new}\n" if line == old else f" {line}\n" for line in context)
    head = f"--- a/{file}\n+++ b/{file}\n@@ -{start},{len(context)} +{start},{len(context)} @@\n"
    return Patch(name, f"Why.\n\n{head}{body}".encode())


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Return a function that builds with patches; it returns the compiled files and the binary."""
    source = tmp_path / "source"
    (source / "xen/xen").mkdir(parents=True)
    (source / "xen/xen/Makefile").write_text(MAKEFILE)
    for name in ("a.c", "b.c"):
        (source / "xen/xen" / name).write_text("\n".join(LINES) + "\n")
    root = tmp_path / "build/root"
    root.mkdir(parents=True)
    entry = tmp_path / "entry"
    entry.mkdir()
    compiled = root / "bench/xen-release/xen/xen/compiled"

    def do(self, script, log, *arguments):
        words = ["sh", "-euc", f"cd {self.outer}\n{script}", "sh", *arguments]
        run(words, log, env={"LC_ALL": "C"})

    monkeypatch.setattr(roots.Workbench, "do", do)

    def build(*series, label=STOCK, debug=False, offsets=False):
        compiled.unlink(missing_ok=True)
        origin = Base(source, "4.20", offsets)
        tree = Tree(root, origin, tmp_path / "log", debug=debug)
        tree.build(series, label, 2, entry)
        files = compiled.read_text().split() if compiled.exists() else []
        return files, (entry / "xen").read_text()

    build.root = root
    build.entry = entry
    build.log = tmp_path / "log"
    return build


ONE = patch_of("1.patch", "line 5", "five", file="xen/a.c")
TWO = patch_of("2.patch", "line 15", "fifteen", file="xen/b.c")


def test_only_changed_files_are_recompiled(build):
    files, stock = build()
    assert sorted(files) == ["a.c", "b.c"]
    assert build(ONE)[0] == ["a.c"]
    files, both = build(ONE, TWO)
    assert files == ["b.c"]
    assert (both.count("five"), both.count("fifteen")) == (1, 1)
    files, first = build(ONE)
    assert files == ["b.c"]
    assert "fifteen" not in first
    assert build() == (["a.c"], stock)


def test_another_label_recompiles_no_file(build):
    build()
    files, text = build(label=Label("-mine", "of 3 patches"))
    assert files == []
    assert text.endswith("of 3 patches\n4.20.4-pre -mine\n")


def test_patches_add_and_remove_files(build):
    new = Patch("1.patch", b"--- /dev/null\n+++ b/xen/c/new.h\n@@ -0,0 +1 @@\n+new\n")
    gone = Patch("2.patch", b"--- a/xen/c/new.h\n+++ /dev/null\n@@ -1 +0,0 @@\n-new\n")
    header = build.root / "bench/xen-release/xen/xen/c/new.h"
    build(new)
    assert header.read_text() == "new\n"
    build(new, gone)
    assert not header.exists()
    build(new)
    build()
    assert not header.exists()


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (patch_of("bad.patch", "line 9", "nine", at=4), r"xen/a\.c: Hunk #1 succeeded .*offset"),
        (patch_of("bad.patch", "line 9", "x", file="xen/none.c"), "can't find file to patch"),
        (
            Patch("bad.patch", ONE.content.replace(b" line 2\n", b" line two\n")),
            r"xen/a\.c: Hunk #1 FAILED at 2",
        ),
        (
            Patch("bad.patch", ONE.content.replace(b"\n-line 5", b"\n-line five")),
            r"xen/a\.c: Hunk #1 FAILED at 2",
        ),
        (Patch("bad.patch", ONE.content[:-20]), "unexpectedly ends"),
        (Patch("bad.patch", b"only words\n"), "Only garbage"),
        (Patch("bad.patch", b""), "changes no file|Only garbage"),
    ],
)
def test_a_patch_that_does_not_apply_is_reported_with_its_hunk(build, patch, message):
    build(TWO)
    with pytest.raises(LabError, match=rf"bad\.patch does not apply exactly: .*({message})"):
        build(TWO, patch)
    assert "bad.patch" in build.log.read_text()
    assert build(TWO)[0] == []  # the failed build has not changed the tree


def test_an_offset_is_accepted_if_the_base_allows_it(build):
    moved = patch_of("moved.patch", "line 9", "nine", at=4)
    assert "nine" in build(moved, offsets=True)[1]
    with pytest.raises(LabError, match=r"bad\.patch does not apply: xen/a\.c: Hunk #1 FAILED"):
        build(Patch("bad.patch", ONE.content.replace(b" line 2\n", b" line two\n")), offsets=True)


def test_patches_are_applied_in_order(build):
    again = Patch("2.patch", ONE.content.replace(b"-line 5\n+five", b"-five\n+FIVE"))
    assert "FIVE" in build(ONE, again)[1]
    with pytest.raises(LabError, match=r"2\.patch does not apply"):
        build(again, ONE)


def test_a_new_compiler_warning_fails_every_build(build):
    bad = patch_of("bad.patch", "line 5", "warning: of something")
    for _ in range(2):
        with pytest.raises(
            LabError, match=r"warns of the patched source, but not of stock: .*of something"
        ):
            build(bad)


def test_a_compiler_warning_about_stock_is_ignored(build, tmp_path):
    file = tmp_path / "source/xen/xen/a.c"
    file.write_text(file.read_text().replace("line 1\n", "warning: stock\n"))
    assert "five" in build(ONE)[1]


def test_the_tree_is_usable_after_a_compiler_error(build):
    build()
    with pytest.raises(LabError, match="exited with 2"):
        build(patch_of("bad.patch", "line 5", "error: in this"))
    files, text = build(TWO)
    assert sorted(files) == ["a.c", "b.c"]
    assert "error" not in text


def test_an_interrupted_build_is_followed_by_a_full_build(build, monkeypatch):
    build()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as within:
        within.setattr(Tree, "_compile", killed)
        with pytest.raises(KeyboardInterrupt):
            build(ONE)
    files, text = build(ONE)
    assert sorted(files) == ["a.c", "a.c", "b.c"]
    assert "five" in text


def test_another_source_causes_a_full_build(build, tmp_path):
    build()
    (tmp_path / "source").rename(tmp_path / "other")
    compiled = build.root / "bench/xen-release/xen/xen/compiled"
    compiled.unlink()
    tree = Tree(build.root, Base(tmp_path / "other", "4.20"), build.log, debug=False)
    tree.build([], STOCK, 1, build.entry)
    assert sorted(compiled.read_text().split()) == ["a.c", "b.c"]


def test_debug_builds_have_a_separate_tree_and_configuration(build):
    build()
    assert (build.entry / ".config").read_text() == "# CONFIG_DEBUG is not set\n"
    build(debug=True)
    assert (build.entry / ".config").read_text() == "CONFIG_DEBUG=y\n"
    assert build()[0] == []


def test_no_other_directory_remains_in_the_build_root(build):
    build(ONE)
    assert [path.name for path in (build.root / "bench").iterdir()] == ["xen-release"]


@pytest.mark.parametrize("output", ["", "patching file a\nHunk #1 succeeded at 3 with fuzz 1.\n"])
def test_no_output_and_fuzz_are_problems(output):
    assert first_problem(output)
    assert first_problem("patching file xen/a.c\npatching file 'xen/b c.c'\n") is None


@pytest.fixture
def tree_with(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "PATCHES", tmp_path)

    def write(text, **files):
        (tmp_path / "series").write_text(text)
        for name, content in files.items():
            (tmp_path / f"{name}.patch").write_text(content)

    return write


def test_a_missing_series_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "PATCHES", tmp_path)
    assert series("stock") == series("stock-debug") == []
    for variant in ("patched", "patched-debug"):
        with pytest.raises(LabError, match="this tree has no patches") as refused:
            series(variant)
        assert refused.value.exit_code == 2


def test_patches_are_in_the_order_of_the_series_file(tree_with):
    tree_with("# first\nb.patch\na.patch # second\n", a="A", b="B")
    assert [patch.name for patch in patches()] == ["b.patch", "a.patch"]
    assert [patch.content for patch in patches(1)] == [b"B"]


@pytest.mark.parametrize("first", [0, 3])
def test_a_number_of_patches_out_of_range_is_an_error(tree_with, first):
    tree_with("b.patch a.patch", a="A", b="B")
    with pytest.raises(LabError, match=f"--patches {first} is out of range: the series has 2"):
        patches(first)


def test_a_missing_patch_of_the_series_is_an_error(tree_with):
    tree_with("gone.patch\n")
    with pytest.raises(
        LabError, match=r"gone\.patch, which the series lists, cannot be read: No such"
    ):
        patches()


def test_linux_has_a_separate_series(tmp_path, monkeypatch):
    directory = tmp_path / "patches/linux"
    monkeypatch.setattr(places, "KERNEL_PATCHES", directory)
    with pytest.raises(LabError, match=r"no patches: patches/linux/series") as refused:
        kernel_patches()
    assert "--kernel debian" in refused.value.remedy
    directory.mkdir(parents=True)
    (directory / "series").write_text("a.patch\n")
    (directory / "a.patch").write_text("A")
    assert [patch.content for patch in kernel_patches()] == [b"A"]


def test_a_number_of_patches_for_stock_is_an_error(tree_with):
    tree_with("a.patch", a="A")
    with pytest.raises(LabError, match="stock hypervisor has no patches"):
        series("stock", 1)


def test_the_changeset_identifies_the_patches():
    changesets = {changeset(list(some)) for some in ([ONE], [TWO], [ONE, TWO], [TWO, ONE])}
    assert len(changesets) == 4
    assert changeset([ONE]).startswith("xengt 1 patch ")
    assert {label(variant, [ONE]) for variant in BUILT} == {
        STOCK,
        Label("-xengt", changeset([ONE])),
    }
