"""Xen's unit test of grant_table.c, which the first patch adds."""

import shutil
import subprocess
from pathlib import Path

import pytest
from lablib import places
from lablib.cache import Cache
from lablib.source.bases import XEN, base
from lablib.source.series import apply, first_problem, patches

pytestmark = pytest.mark.series


@pytest.fixture
def tree(tmp_path) -> Path:
    """Xen's source without patches."""
    copy = tmp_path / "xen"
    shutil.copytree(base(Cache(places.cache_root()), XEN).directory / "xen", copy, symlinks=True)
    # Instead of ./configure, which requires the libraries of all tools.
    (copy / "config/Tools.mk").write_text("CONFIG_WERROR := y\n")
    return copy


def run_unit_test(tree: Path) -> subprocess.CompletedProcess[str]:
    words = ["make", "-s", "-C", tree / "tools/tests/gnttab", "run"]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_it_passes_at_each_step(tree):
    for patch in patches():
        assert first_problem(apply(patch, tree)) is None
        done = run_unit_test(tree)
        assert done.returncode == 0, f"{patch.name}:\n{done.stdout}{done.stderr}"


def test_it_finds_a_pin_that_a_failed_mapping_leaves(tree):
    for patch in patches():
        apply(patch, tree)
    source = tree / "xen/common/grant_table.c"
    parts = source.read_text().split("    act->pin -= pin_incr;\n")
    assert len(parts) == 2
    source.write_text("".join(parts))
    done = run_unit_test(tree)
    assert done.returncode != 0
    assert "map_errors" in done.stdout + done.stderr
