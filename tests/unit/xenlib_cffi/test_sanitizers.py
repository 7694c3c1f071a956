"""Our C under the compiler's sanitizers: tests/c, compiled and run."""

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
MEMORY = "-fsanitize=address,undefined"
THREADS = "-fsanitize=thread"
LOOP = ["test_loop.c", "loop.c", "histogram.c"]
PROGRAMS = [
    (MEMORY, ["test_histogram.c", "histogram.c", "histogram_codec.c"]),
    (MEMORY, LOOP),
    (THREADS, LOOP),
    (MEMORY, ["test_hypfs_numbers.c", "hypfs_numbers.c"]),
    (
        MEMORY,
        [
            *("test_engines.c", "fake_xen.c", "loop.c", "histogram.c", "kept_log.c"),
            *("grant_ops.c", "hypercall_engine.c", "gntdev_engine.c"),
        ],
    ),
]


@pytest.mark.parametrize(
    ("sanitizer", "sources"),
    PROGRAMS,
    ids=[f"{sources[0]}, {sanitizer}" for sanitizer, sources in PROGRAMS],
)
def test_clean(sanitizer, sources, tmp_path):
    compiler = shutil.which("cc")
    assert compiler, "a C compiler is needed: apt install gcc libc6-dev"
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
