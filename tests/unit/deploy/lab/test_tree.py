"""How a hypervisor is built in the tree of the one before: on a source of three files."""

import pytest
from lablib import places
from lablib.artifacts import roots
from lablib.artifacts.hypervisor import BUILT, label, series
from lablib.artifacts.xen_tree import STOCK, Label, Tree
from lablib.commands import run
from lablib.errors import LabError
from lablib.source.bases import Base
from lablib.source.series import Patch, flaw, kernel_patches, mark, patches

#: Says what it compiles, as `make -s` does not: a warning for each line that has one.
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
    """One hunk with three lines around it, at the line it is of or said to be."""
    where = LINES.index(old)
    first = max(0, where - 3)
    around = LINES[first : where + 4]
    told = at or first + 1
    body = "".join(f"-{line}\n+{new}\n" if line == old else f" {line}\n" for line in around)
    head = f"--- a/{file}\n+++ b/{file}\n@@ -{told},{len(around)} +{told},{len(around)} @@\n"
    return Patch(name, f"Why.\n\n{head}{body}".encode())


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Builds with some patches; gives what was compiled and what came of it."""
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

    def build(*given, label=STOCK, debug=False, offsets=False):
        compiled.unlink(missing_ok=True)
        origin = Base(source, "4.20", offsets)
        tree = Tree(root, origin, tmp_path / "log", debug=debug)
        tree.build(given, label, 2, entry)
        said = compiled.read_text().split() if compiled.exists() else []
        return said, (entry / "xen").read_text()

    build.root = root
    build.entry = entry
    build.log = tmp_path / "log"
    return build


ONE = patch_of("1.patch", "line 5", "five", file="xen/a.c")
TWO = patch_of("2.patch", "line 15", "fifteen", file="xen/b.c")


def test_only_what_a_patch_changes_is_compiled_again(made):
    said, stock = made()
    assert sorted(said) == ["a.c", "b.c"]
    assert made(ONE)[0] == ["a.c"]
    said, both = made(ONE, TWO)
    assert said == ["b.c"]
    assert (both.count("five"), both.count("fifteen")) == (1, 1)
    said, first = made(ONE)
    assert said == ["b.c"]
    assert "fifteen" not in first
    assert made() == (["a.c"], stock)


def test_the_label_alone_compiles_nothing(made):
    made()
    said, text = made(label=Label("-mine", "of 3 patches"))
    assert said == []
    assert text.endswith("of 3 patches\n4.20.4-pre -mine\n")


def test_files_come_and_go(made):
    new = Patch("1.patch", b"--- /dev/null\n+++ b/xen/c/new.h\n@@ -0,0 +1 @@\n+new\n")
    gone = Patch("2.patch", b"--- a/xen/c/new.h\n+++ /dev/null\n@@ -1 +0,0 @@\n-new\n")
    there = made.root / "bench/xen-release/xen/xen/c/new.h"
    made(new)
    assert there.read_text() == "new\n"
    made(new, gone)
    assert not there.exists()
    made(new)
    made()
    assert not there.exists()


@pytest.mark.parametrize(
    ("patch", "said"),
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
def test_a_patch_that_does_not_fit_is_named_with_its_hunk(made, patch, said):
    made(TWO)
    with pytest.raises(LabError, match=rf"bad\.patch does not apply exactly: .*({said})"):
        made(TWO, patch)
    assert "bad.patch" in made.log.read_text()
    assert made(TWO)[0] == []  # the tree is as it was


def test_an_offset_is_allowed_where_the_base_needs_it(made):
    moved = patch_of("moved.patch", "line 9", "nine", at=4)
    assert "nine" in made(moved, offsets=True)[1]
    with pytest.raises(LabError, match=r"bad\.patch does not apply: xen/a\.c: Hunk #1 FAILED"):
        made(Patch("bad.patch", ONE.content.replace(b" line 2\n", b" line two\n")), offsets=True)


def test_each_patch_goes_on_those_before_it(made):
    again = Patch("2.patch", ONE.content.replace(b"-line 5\n+five", b"-five\n+FIVE"))
    assert "FIVE" in made(ONE, again)[1]
    with pytest.raises(LabError, match=r"2\.patch does not apply"):
        made(again, ONE)


def test_a_new_warning_fails_the_build_every_time(made):
    bad = patch_of("bad.patch", "line 5", "warning: of something")
    for _ in range(2):
        with pytest.raises(LabError, match=r"warns of what it does not in stock: .*of something"):
            made(bad)


def test_a_warning_of_stock_is_no_new_one(made, tmp_path):
    file = tmp_path / "source/xen/xen/a.c"
    file.write_text(file.read_text().replace("line 1\n", "warning: stock\n"))
    assert "five" in made(ONE)[1]


def test_an_error_leaves_a_tree_that_goes_on(made):
    made()
    with pytest.raises(LabError, match="exited with 2"):
        made(patch_of("bad.patch", "line 5", "error: in this"))
    said, text = made(TWO)
    assert sorted(said) == ["a.c", "b.c"]
    assert "error" not in text


def test_a_build_cut_short_begins_anew(made, monkeypatch):
    made()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as within:
        within.setattr(Tree, "_compile", killed)
        with pytest.raises(KeyboardInterrupt):
            made(ONE)
    said, text = made(ONE)
    assert sorted(said) == ["a.c", "a.c", "b.c"]
    assert "five" in text


def test_another_source_begins_anew(made, tmp_path):
    made()
    (tmp_path / "source").rename(tmp_path / "other")
    compiled = made.root / "bench/xen-release/xen/xen/compiled"
    compiled.unlink()
    tree = Tree(made.root, Base(tmp_path / "other", "4.20"), made.log, debug=False)
    tree.build([], STOCK, 1, made.entry)
    assert sorted(compiled.read_text().split()) == ["a.c", "b.c"]


def test_debug_is_another_tree_and_only_the_option_differs(made):
    made()
    assert (made.entry / ".config").read_text() == "# CONFIG_DEBUG is not set\n"
    made(debug=True)
    assert (made.entry / ".config").read_text() == "CONFIG_DEBUG=y\n"
    assert made()[0] == []


def test_nothing_stays_beside_the_tree(made):
    made(ONE)
    assert [path.name for path in (made.root / "bench").iterdir()] == ["xen-release"]


@pytest.mark.parametrize("said", ["", "patching file a\nHunk #1 succeeded at 3 with fuzz 1.\n"])
def test_only_exact_is_applied(said):
    assert flaw(said)
    assert flaw("patching file xen/a.c\npatching file 'xen/b c.c'\n") is None


@pytest.fixture
def tree_with(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "PATCHES", tmp_path)

    def write(text, **files):
        (tmp_path / "series").write_text(text)
        for name, content in files.items():
            (tmp_path / f"{name}.patch").write_text(content)

    return write


def test_no_patches_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "PATCHES", tmp_path)
    assert series("stock") == series("stock-debug") == []
    for variant in ("patched", "patched-debug"):
        with pytest.raises(LabError, match="no patches in this tree") as refused:
            series(variant)
        assert refused.value.exit_code == 2


def test_patches_come_in_the_order_of_their_series(tree_with):
    tree_with("# first\nb.patch\na.patch # second\n", a="A", b="B")
    assert [patch.name for patch in patches()] == ["b.patch", "a.patch"]
    assert [patch.content for patch in patches(1)] == [b"B"]


@pytest.mark.parametrize("first", [0, 3])
def test_more_patches_than_there_are(tree_with, first):
    tree_with("b.patch a.patch", a="A", b="B")
    with pytest.raises(LabError, match=f"--patches {first}: the series has 2"):
        patches(first)


def test_a_listed_patch_that_is_not_there(tree_with):
    tree_with("gone.patch\n")
    with pytest.raises(LabError, match=r"series lists gone\.patch, which cannot be read: No such"):
        patches()


def test_linux_has_patches_of_its_own(tmp_path, monkeypatch):
    directory = tmp_path / "patches/linux"
    monkeypatch.setattr(places, "KERNEL_PATCHES", directory)
    with pytest.raises(LabError, match=r"no patches .* patches/linux/series") as refused:
        kernel_patches()
    assert "--kernel debian" in refused.value.remedy
    directory.mkdir(parents=True)
    (directory / "series").write_text("a.patch\n")
    (directory / "a.patch").write_text("A")
    assert [patch.content for patch in kernel_patches()] == [b"A"]


def test_stock_has_no_patches_to_choose_from(tree_with):
    tree_with("a.patch", a="A")
    with pytest.raises(LabError, match="stock hypervisor has no patches"):
        series("stock", 1)


def test_a_mark_tells_which_patches():
    marks = {mark(list(some)) for some in ([ONE], [TWO], [ONE, TWO], [TWO, ONE])}
    assert len(marks) == 4
    assert mark([ONE]).startswith("xengt 1 patch ")
    assert {label(variant, [ONE]) for variant in BUILT} == {STOCK, Label("-xengt", mark([ONE]))}
