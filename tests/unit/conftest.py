"""Python over libraries of Xen that are not Xen's: tests/c/fake_xen.c, preloaded."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.patience import patient

FAKE = Path(__file__).parents[1] / "c" / "fake_xen.c"
# The books and the switches of fake_xen.h, for cffi: it reads declarations alone.
PRELUDE = """
from cffi import FFI
ffi = FFI()
ffi.cdef({declarations!r})
library = ffi.dlopen(None)
fake = library.fake_xen
"""


@pytest.fixture(scope="session")
def on_fake_xen(tmp_path_factory):
    """Run Python in which `fake` is the books of fake_xen.h; returns what it prints."""
    library = tmp_path_factory.mktemp("fake_xen") / "fake_xen.so"
    strict = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    subprocess.run(["cc", *strict, "-o", library, FAKE], check=True)
    header = FAKE.with_suffix(".h").read_text(encoding="utf-8").splitlines()
    declarations = "\n".join(
        line for line in header if not line.startswith("#") or "FAKE_MAPTRACK" in line
    )

    def run(code):
        done = subprocess.run(
            [
                *(sys.executable, "-c"),
                PRELUDE.format(declarations=declarations) + textwrap.dedent(code),
            ],
            env=os.environ | {"LD_PRELOAD": str(library)},
            capture_output=True,
            text=True,
            timeout=patient(60),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
