"""Every patch reads as Xen's developers expect, and tells nothing of who made it where."""

import re
from pathlib import Path

import pytest

from tests.patches.form import LINUX, XEN, flaws

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


def listed(directory: Path) -> list[str]:
    return re.sub(r"#.*", "", (directory / "series").read_text()).split()


def every():
    for directory in SERIES:
        names = listed(directory)
        for position, name in enumerate(names, 1):
            yield pytest.param(
                directory / name, position, len(names), id=f"{directory.name}/{name}"
            )


@pytest.mark.parametrize("name", ["xen-4.20", "linux-6.12"])
def test_debian_13s_own_has_a_series(name):
    assert PATCHES / name in SERIES


@pytest.mark.parametrize("directory", SERIES, ids=lambda path: path.name)
def test_a_series_lists_its_files_in_their_order(directory):
    """Those of another series too, where they are the same."""
    own = [name for name in listed(directory) if "/" not in name]
    assert own == sorted(path.name for path in directory.glob("*.patch"))
    for position, name in enumerate(listed(directory), 1):
        assert re.fullmatch(rf"(\.\./xen-[a-z0-9.]+/)?{position:04}-[a-zA-Z0-9._-]+\.patch", name)


@pytest.mark.parametrize(("path", "position", "length"), list(every()))
def test_form(path, position, length):
    style = LINUX if path.parent.name.startswith("linux") else XEN
    assert list(flaws(path.read_text(), position, length, style)) == []


def test_nothing_is_wrong_with_a_good_one():
    assert list(flaws(GOOD, 2, 11)) == []
    # The same without a count, and as git writes a series of one.
    assert list(flaws(GOOD.replace("[PATCH 02/11] ", "[PATCH] "), 1, 1)) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("xengt developers", "A. Person", "From: A. Person"),
        ("xengt@localhost", "someone@real.example", "From: xengt developers <someone"),
        ("[PATCH 02/11]", "[PATCH 03/11]", "it is 2 of 11"),
        ("[PATCH 02/11]", "[PATCH 02/12]", "it is 2 of 11"),
        ("gnttab: keep", "Keep", "no `component: what it does`"),
        ("few words more", "few words more.", "no `component: what it does`"),
        ("a\n few words", f"{'a' * 40}\n few words", "the subject is longer"),
        ("Why it is so, in", f"Why {'so ' * 20}", "columns of 75: Why so"),
        ("640 after.\n", "640 after.\n\nSigned-off-by: A\n", "a trailer: Signed-off-by:"),
        ("640 after.\n", "640 after.\n\nReviewed-by: A\n", "a trailer: Reviewed-by:"),
        ("640 after.\n", "640 after, says a@b.example\n", "an address: a@b.example"),
        ("/xen/common", "/home/me/xen", "a place of one machine: /home/"),
        ("/xen/common", "~/xen", "a place of one machine: ~/x"),
        ("if ( new )", 'f("/tmp/x");', "a place of one machine: /tmp/"),
        ("lore.kernel.org", "near.example", "a host: near.example"),
        ("lore.kernel.org", "kernel.org.example", "a host: kernel.org.example"),
        ("Why it is so, in /xen/common and at https://lore.kernel.org/xen-devel/x:\n", "", None),
        ("if ( new )", "if ( new ) ", "white space at the end"),
        ("if ( new )", "if ( new )\t/* x */", "a tab"),
        ("if ( new )", "if ( n" + "e" * 75 + "w )", "longer than 79"),
        ("if ( new )", "if (new)", "not in Xen's style"),
        ("if ( new )", "if( new )", "not in Xen's style"),
        ("if ( new )", "} else", "not in Xen's style"),
        ("\ndiff --git a", "\ndiff a", "no diff --git in it"),
        ('two parts");\n', 'two parts");', "not lines that end"),
    ],
)
def test_each_flaw_is_seen(old, new, said):
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if said is None:
        text, said = text.replace("    1,065 instructions before, 640 after.\n", ""), "say why"
    found = list(flaws(text, 2, 11))
    assert any(said in flaw for flaw in found), found


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("\tif (new)", None),
        ("\tstatic int f(int a,\n+\t\t\tint b)", None),
        ("\tif ( new )", "not in Linux's style"),
        ("\tif(new)", "not in Linux's style"),
        ("\t}else", "not in Linux's style"),
        ("\t{", "not in Linux's style"),
        ("        f();", "blanks for a tab"),
        ("\t        f();", "blanks for a tab"),
        ("\t\t" + "f" * 65, "longer than 80"),
        ("\t\t" + "f" * 64, None),
    ],
)
def test_linux_has_another_style(line, said):
    begin, _, _ = GOOD.partition("+    if ( new )")
    found = list(flaws(f"{begin}+{line}\n", 2, 11, LINUX))
    assert len(found) == (said is not None)
    assert all(said in flaw for flaw in found)
