"""The build of the extension modules, with and without Xen's headers."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import xengt
from tests.patience import patient
from xenlib_cffi.library import PAGE_SIZE

ROOT = Path(__file__).parents[3]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
#: a compiler warning is an error in these tests, but not where users build
STRICT = {"CFLAGS": "-Werror"}
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
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


def build(tree, kind="wheel", **environment):
    """Build a wheel or an sdist; return the finished process and the files made."""
    made = tree.parent / kind
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(kind=kind), made],
        cwd=tree,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=patient(300),
        check=False,
    )
    return done, list(made.glob("xengt*"))


def test_without_headers_of_xen_only_the_histogram_is_built(tree, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text(COMPILER_WITHOUT_XEN, encoding="utf-8")
    compiler.chmod(0o755)
    source = tree / "xenlib_cffi" / "csrc" / "histogram.c"
    source.write_text(f"static void unused(void) {{}}\n{source.read_text()}", encoding="utf-8")
    done, [wheel] = build(tree, CC=str(compiler))
    assert done.returncode == 0, done.stderr
    assert "-Wunused-function" in done.stderr  # a warning does not fail the build of a user
    assert "xenlib_cffi._xen is left out, because not all" in done.stdout + done.stderr
    assert "package libxen-dev" in done.stdout + done.stderr
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")  # noqa: S202 (made above)
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
    done, wheels = build(tree)  # also where warnings are not errors
    assert done.returncode != 0
    assert "incompatible-pointer-types" in done.stderr
    assert wheels == []


def test_a_wheel_has_no_files_that_only_the_compiler_reads(tree):
    done, [wheel] = build(tree, **STRICT)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(wheel) as archive:
        kinds = {Path(name).suffix for name in archive.namelist()}
    assert not kinds & {".c", ".h", ".o", ".i"}
    assert {".so", ".py", ".pyi"} <= kinds
    assert not list(tree.glob("xenlib_cffi/**/*.o"))


@pytest.mark.parametrize(
    ("compiler", "named"),
    [("/nonexistent/cc", "/nonexistent/cc does not run"), ("cc -nostdinc", "Python.h")],
)
def test_without_a_working_compiler_there_is_no_wheel(tree, compiler, named):
    done, wheels = build(tree, CC=compiler)
    assert (done.returncode != 0, wheels) == (True, [])
    assert "xenlib_cffi._histogram cannot be built" in done.stderr
    assert named in done.stderr
    assert "python3-dev" in done.stderr


def test_without_the_c_files_there_is_no_wheel(tree):
    (tree / "xenlib_cffi" / "csrc" / "histogram.c").unlink()
    done, wheels = build(tree)
    assert (done.returncode != 0, wheels) == (True, [])
    assert "lacks xenlib_cffi/csrc/histogram.c" in done.stderr


IMPORTS = """
import json, sys
from xenlib_cffi import _histogram, _xen
from xengt import __main__
print(json.dumps([module.__file__ for module in (_histogram, _xen, __main__)]))
"""


def test_a_source_distribution_can_be_built_installed_and_run(tree, tmp_path):
    """With clang, whose warnings are not those of gcc."""
    done, [sdist] = build(tree, "sdist")
    assert done.returncode == 0, done.stderr
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    [unpacked] = (tmp_path / "unpacked").iterdir()
    done, [wheel] = build(unpacked, CC="clang", **STRICT)
    assert done.returncode == 0, done.stderr

    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    [site] = venv.glob("lib/python3*/site-packages")
    # The requirements are those of this environment: a test needs no network.
    (site / "requirements.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def output(*words):
        return subprocess.check_output(words, env=environment, cwd=tmp_path, text=True)

    output(*pip, "--no-index", "--no-deps", "--ignore-installed", wheel)
    assert all(
        Path(file).is_relative_to(venv) for file in json.loads(output(python, "-c", IMPORTS))
    )
    version = output(venv / "bin" / "xengt", "--version")
    assert version == f"xengt {xengt.__version__}\n"

    found = metadata.PathDistribution(next(site.glob("xengt-*.dist-info"))).metadata
    assert found["License-Expression"] == "GPL-2.0-only"
    assert found.get_all("License-File") == ["LICENSE"]
    assert "License ::" not in "".join(found.get_all("Classifier"))
    assert found["Description-Content-Type"] == "text/markdown"


def test_python_and_c_have_the_same_page_size():
    header = (ROOT / "xenlib_cffi" / "csrc" / "page.h").read_text(encoding="utf-8")
    assert f"#define XENLIB_PAGE_SIZE {PAGE_SIZE}\n" in header
