"""The form of every patch: message, style, and no traces of the machine it was made on."""

import re
from pathlib import Path

import pytest

from tests.patches.checkpatch import LINUX, XEN, problems

PATCHES = Path(__file__).parents[2] / "patches"
SERIES = sorted(path.parent for path in PATCHES.glob("*/series"))

GOOD = """\
From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001
From: xengt developers <xengt@localhost>
Date: Mon, 1 Jan 2024 00:00:00 +0000
Subject: [PATCH 02/11] gnttab: keep what is mapped where its reference is, and a
 few words more

Why it is so, in /xen/common and at https://lore.kernel.org/xen-devel/x:
    1,065 instructions before, 640 after.
---
 xen/common/grant_table.c | 3 ++-
 1 file changed, 2 insertions(+), 1 deletion(-)

diff --git a/xen/common/grant_table.c b/xen/common/grant_table.c
index 0a5c23f..30805df 100644
--- a/xen/common/grant_table.c
+++ b/xen/common/grant_table.c
@@ -10,2 +10,4 @@ static void f(void)
 \tcontext of another's
-    if (old)
+    if ( new )
+        /* if(this) were code; a while(1) later */
+        printk("%s", "a message of more than eighty columns, which nobody breaks in two parts");
"""


def series_of(directory: Path) -> list[str]:
    return re.sub(r"#.*", "", (directory / "series").read_text()).split()


def all_patches():
    for directory in SERIES:
        names = series_of(directory)
        # A newer version of Xen has the last patch of the series it shares.
        shared = {PATCHES / "xen-4.20" for name in names if name.startswith("../xen-4.20/")}
        length = max(len(series_of(each)) for each in (directory, *shared))
        for position, name in enumerate(names, 1):
            yield pytest.param(directory / name, position, length, id=f"{directory.name}/{name}")


@pytest.mark.parametrize("name", ["xen-4.20", "linux-6.12"])
def test_debian_13_has_a_series(name):
    assert PATCHES / name in SERIES


@pytest.mark.parametrize("directory", SERIES, ids=lambda path: path.name)
def test_a_series_lists_its_files_in_order(directory):
    """A series may also list files of another one, where patches are the same."""
    own = [name for name in series_of(directory) if "/" not in name]
    assert own == sorted(path.name for path in directory.glob("*.patch"))
    for position, name in enumerate(series_of(directory), 1):
        assert re.fullmatch(rf"(\.\./xen-[a-z0-9.]+/)?{position:04}-[a-zA-Z0-9._-]+\.patch", name)


@pytest.mark.parametrize(("path", "position", "length"), list(all_patches()))
def test_a_patch_has_no_problems(path, position, length):
    style = LINUX if path.parent.name.startswith("linux") else XEN
    assert list(problems(path.read_text(), position, length, style)) == []


#: a function's definition that a patch adds, at the start of a line
DEFINITION = re.compile(r"^\+(?![ \t#*/}])[\w *]*?\b(\w+)\([^;]*$", re.MULTILINE)
WORD = re.compile(r"\w+")


def used_too_early(patches: list[str]) -> list[str]:
    """Return the functions that a patch uses although only a later one defines them."""
    changes = [[words_of(text, sign) for sign in "+- "] for text in patches]
    # A function that is removed as well was there before.
    new = [
        set(DEFINITION.findall(text)) - removed
        for text, (_, removed, _) in zip(patches, changes, strict=True)
    ]
    found, known = [], set()
    for at, (added, removed, context) in enumerate(changes):
        known |= new[at] | removed | context
        later = set().union(*new[at + 1 :])
        found += [f"patch {at + 1} uses {name}" for name in sorted(added & later - known)]
        known |= added  # reported once
    return found


def words_of(patch: str, sign: str) -> set[str]:
    """Return the words in the lines that a patch adds (+), removes (-) or shows ( )."""
    lines = patch.partition("\ndiff --git ")[2].splitlines()
    chosen = [line for line in lines if line[:1] == sign and line[:3] not in {"+++", "---"}]
    return set(WORD.findall("\n".join(chosen)))


@pytest.mark.parametrize("directory", SERIES, ids=lambda path: path.name)
def test_no_patch_uses_a_function_of_a_later_one(directory):
    """`tests/run series` compiles each step, which takes much longer."""
    assert used_too_early([(directory / name).read_text() for name in series_of(directory)]) == []


def test_a_function_of_a_later_patch_is_found():
    begin = "message\ndiff --git a/x.c b/x.c\n--- a/x.c\n+++ b/x.c\n@@ -1 +1,2 @@\n old(1);\n"
    uses, defines = f"{begin}+    new(1);\n", f"{begin}+static int new(int x)\n+{{\n"
    assert used_too_early([uses, defines]) == ["patch 1 uses new"]
    assert used_too_early([defines, uses]) == []


def test_the_cover_letter_is_about_this_series():
    letter = (PATCHES / "cover-letter.txt").read_text()
    length = len(series_of(PATCHES / "xen-4.20"))
    assert letter.startswith(f"Subject: [PATCH 00/{length}] ")
    assert [line for line in letter.splitlines() if len(line) > 79] == []


@pytest.mark.parametrize("name", ["cover-letter.txt", "README.md"])
def test_the_parts_are_all_of_the_series(name):
    heading = re.compile(r"^\W*Patch(?:es)? (\d+)(?: to (\d+))?\b", re.MULTILINE)
    parts = heading.findall((PATCHES / name).read_text())
    bounds = [(int(first), int(last or first)) for first, last in parts]
    assert [first for first, _ in bounds] == [1, *(last + 1 for _, last in bounds[:-1])]
    assert bounds[-1][1] == len(series_of(PATCHES / "xen-4.20"))


@pytest.mark.parametrize(
    "path", sorted((PATCHES / "linux-6.12").glob("*.patch")), ids=lambda p: p.name
)
def test_linux_patches_use_no_field_that_newer_kernels_lack(path):
    """`index` of struct page is one; the series is also meant for upstream."""
    added = [line for line in path.read_text().splitlines() if line.startswith("+")]
    assert not [line for line in added if re.search(r"page\b[^;]*->index\b", line)]
    assert not [line for line in added if re.search(r"pages\[\w+\]->index\b", line)]


def test_a_good_patch_has_no_problems():
    assert list(problems(GOOD, 2, 11)) == []
    # Without a number, as git formats a single patch.
    assert list(problems(GOOD.replace("[PATCH 02/11] ", "[PATCH] "), 1, 1)) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("xengt developers", "A. Person", "From: A. Person"),
        ("xengt@localhost", "someone@real.example", "From: xengt developers <someone"),
        ("[PATCH 02/11]", "[PATCH 03/11]", "but the patch is 2 of 11"),
        ("[PATCH 02/11]", "[PATCH 02/12]", "but the patch is 2 of 11"),
        ("gnttab: keep", "Keep", "subject is not `component: description`"),
        ("few words more", "few words more.", "subject is not `component: description`"),
        ("a\n few words", f"{'a' * 40}\n few words", "subject is longer than 75"),
        ("Why it is so, in", f"Why {'so ' * 20}", "columns, more than 75: Why so"),
        ("640 after.\n", "640 after.\n\nSigned-off-by: A\n", "trailer: Signed-off-by:"),
        ("640 after.\n", "640 after.\n\nReviewed-by: A\n", "trailer: Reviewed-by:"),
        ("640 after.\n", "640 after, says a@b.example\n", "e-mail address: a@b.example"),
        ("/xen/common", "/home/me/xen", "local path: /home/"),
        ("/xen/common", "~/xen", "local path: ~/x"),
        ("if ( new )", 'f("/tmp/x");', "local path: /tmp/"),
        ("lore.kernel.org", "near.example", "host name: near.example"),
        ("lore.kernel.org", "kernel.org.example", "host name: kernel.org.example"),
        ("Why it is so, in /xen/common and at https://lore.kernel.org/xen-devel/x:\n", "", None),
        ("if ( new )", "if ( new ) ", "trailing white space"),
        ("if ( new )", "if ( new )\t/* x */", "a tab"),
        ("if ( new )", "if ( n" + "e" * 75 + "w )", "longer than 79 columns"),
        ("if ( new )", "if (new)", "not in Xen's style"),
        ("if ( new )", "if( new )", "not in Xen's style"),
        ("if ( new )", "} else", "not in Xen's style"),
        ("\ndiff --git a", "\ndiff a", "no diff --git line"),
        ('two parts");\n', 'two parts");', "line endings are not LF"),
    ],
)
def test_each_problem_is_reported(old, new, message):
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if message is None:
        text, message = (
            text.replace("    1,065 instructions before, 640 after.\n", ""),
            "no commit message",
        )
    found = list(problems(text, 2, 11))
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("\tif (new)", None),
        ("\tstatic int f(int a,\n+\t\t\tint b)", None),
        ("\tif ( new )", "not in Linux's style"),
        ("\tif(new)", "not in Linux's style"),
        ("\t}else", "not in Linux's style"),
        ("\t{", "not in Linux's style"),
        ("        f();", "spaces instead of a tab"),
        ("\t        f();", "spaces instead of a tab"),
        ("\t\t" + "f" * 65, "longer than 80 columns"),
        ("\t\t" + "f" * 64, None),
    ],
)
def test_linux_style_differs(line, message):
    begin, _, _ = GOOD.partition("+    if ( new )")
    found = list(problems(f"{begin}+{line}\n", 2, 11, LINUX))
    assert len(found) == (message is not None)
    assert all(message in problem for problem in found)
