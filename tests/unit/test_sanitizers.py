"""Our C under AddressSanitizer and UndefinedBehaviorSanitizer: tests/c, compiled and run."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "xenlib_cffi" / "csrc"
FLAGS = [
    *("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
]
PROGRAMS = [
    ("test_histogram.c", ["histogram.c", "histogram_codec.c"]),
]


@pytest.mark.parametrize(("test", "sources"), PROGRAMS, ids=[test for test, _ in PROGRAMS])
def test_clean(test, sources, tmp_path):
    compiler = shutil.which("cc")
    assert compiler, "a C compiler is needed: apt install gcc libc6-dev"
    program = tmp_path / "program"
    files = [ROOT / "tests" / "c" / test, *(CSRC / source for source in sources)]
    subprocess.run([compiler, *FLAGS, f"-I{CSRC}", "-o", program, *files, "-lm"], check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
