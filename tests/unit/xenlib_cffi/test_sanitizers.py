"""The tests in tests/c, compiled with the sanitizers of the compiler, and run."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.patience import patient

ROOT = Path(__file__).parents[3]
CSRC = ROOT / "xenlib_cffi" / "csrc"
TESTS = ROOT / "tests" / "c"
FLAGS = [
    *("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"),
    *("-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
]
MEMORY_ERRORS = "-fsanitize=address,undefined"
DATA_RACES = "-fsanitize=thread"
LOOP = ["test_loop.c", "loop.c", "histogram.c"]
PROGRAMS = [
    (MEMORY_ERRORS, ["test_histogram.c", "histogram.c", "histogram_codec.c"]),
    (MEMORY_ERRORS, LOOP),
    (DATA_RACES, LOOP),
    (MEMORY_ERRORS, ["test_hypfs_numbers.c", "hypfs_numbers.c"]),
    (
        MEMORY_ERRORS,
        [
            *("test_engines.c", "fake_xen.c", "loop.c", "histogram.c", "last_message.c"),
            *("grant_ops.c", "call_arrays.c", "mapped_pages.c", "marks.c"),
            *("hypercall_engine.c", "gntdev_engine.c", "copy_engine.c", "gntdev_copy_engine.c"),
            *("persistent_engine.c", "foreign_engine.c", "empty_engine.c"),
        ],
    ),
]


@pytest.mark.parametrize(
    ("sanitizer", "sources"),
    PROGRAMS,
    ids=[f"{sources[0]}, {sanitizer}" for sanitizer, sources in PROGRAMS],
)
def test_program_succeeds_without_reports(sanitizer, sources, tmp_path):
    compiler = shutil.which("cc")
    assert compiler, "there is no C compiler (Debian: apt install gcc libc6-dev)"
    program = tmp_path / "program"
    files = [next(d / source for d in (TESTS, CSRC) if (d / source).exists()) for source in sources]
    subprocess.run(
        [compiler, *FLAGS, sanitizer, f"-I{CSRC}", "-o", program, *files, "-lm"], check=True
    )
    done = subprocess.run(
        [program], capture_output=True, text=True, timeout=patient(120), check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0
