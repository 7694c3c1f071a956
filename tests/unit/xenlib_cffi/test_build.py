"""The build of the extension modules, with and without Xen's headers."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.patience import patient
from xenlib_cffi.library import PAGE_SIZE

ROOT = Path(__file__).parents[3]
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
# A compiler that finds no header of Xen, as if libxen-dev were not installed.
COMPILER_WITHOUT_XEN = """#!/bin/sh
for argument; do
    case $argument in
    */headers.c)
        if grep -q '<xen' "$argument"; then
            echo "$argument: fatal error: xenctrl.h: No such file or directory" >&2
            exit 1
        fi ;;
    esac
done
exec cc "$@"
"""


@pytest.fixture
def tree(tmp_path):
    """A copy of the files that a build reads."""
    copy = tmp_path / "tree"
    for package in ("xengt", "xenlib_cffi"):
        built = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / package, copy / package, ignore=built)
    shutil.copy(ROOT / "pyproject.toml", copy)
    (copy / "README.md").touch()
    return copy


def build(tree, **environment):
    """Build a wheel; return the finished process and the wheels made."""
    wheels = tree.parent / "wheels"
    done = subprocess.run(
        [sys.executable, "-c", BUILD, wheels],
        cwd=tree,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=patient(300),
        check=False,
    )
    return done, list(wheels.glob("*.whl"))


def test_without_headers_of_xen_only_the_histogram_is_built(tree, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text(COMPILER_WITHOUT_XEN, encoding="utf-8")
    compiler.chmod(0o755)
    done, [wheel] = build(tree, CC=str(compiler))
    assert done.returncode == 0, done.stderr
    assert "xenlib_cffi._xen is left out, because not all" in done.stdout + done.stderr
    assert "package libxen-dev" in done.stdout + done.stderr
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert [name.split(".")[0] for name in names if name.endswith(".so")] == [
        "xenlib_cffi/_histogram"
    ]
    use = "from xenlib_cffi.histogram import Histogram; h = Histogram(); h.record(7); print(h.max)"
    used = subprocess.run(
        [sys.executable, "-c", use],
        cwd=tmp_path / "installed",
        capture_output=True,
        text=True,
        check=True,
    )
    assert used.stdout == "7\n"


def test_a_declaration_that_contradicts_its_header_fails_the_build(tree):
    declarations = tree / "xenlib_cffi" / "decl" / "histogram.h"
    good = declarations.read_text(encoding="utf-8")
    wrong = good.replace("struct histogram *histogram_new(", "char *histogram_new(")
    assert wrong != good
    declarations.write_text(wrong, encoding="utf-8")
    done, wheels = build(tree)
    assert done.returncode != 0
    assert "Werror" in done.stderr
    assert wheels == []


def test_a_wheel_has_no_files_that_only_the_compiler_reads(tree):
    done, [wheel] = build(tree)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(wheel) as archive:
        kinds = {Path(name).suffix for name in archive.namelist()}
    assert not kinds & {".c", ".h", ".o", ".i"}
    assert {".so", ".py", ".pyi"} <= kinds
    assert not list(tree.glob("xenlib_cffi/**/*.o"))


def test_python_and_c_have_the_same_page_size():
    header = (ROOT / "xenlib_cffi" / "csrc" / "page.h").read_text(encoding="utf-8")
    assert f"#define XENLIB_PAGE_SIZE {PAGE_SIZE}\n" in header
