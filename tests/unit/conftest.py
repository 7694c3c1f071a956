"""A fixture that runs Python code with a fake of Xen's libraries (tests/c/fake_xen.c)."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.patience import patient

# NumPy's and SciPy's BLAS start threads when they are imported, which do not block the signals that
# tests send to an agent in this process: one of them could receive a signal instead of the agent.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

ROOT = Path(__file__).parents[2]
FAKE_XEN = ROOT / "tests" / "c" / "fake_xen.c"
CSRC = ROOT / "xenlib_cffi" / "csrc"
#: gives the code access to the counters and the injected errors of fake_xen.h
PRELUDE = """
from cffi import FFI
ffi = FFI()
ffi.cdef({declarations!r})
library = ffi.dlopen(None)
fake = library.fake_xen
"""


@pytest.fixture(scope="session")
def fake_xen_library(tmp_path_factory):
    """The path of the fake as a library to preload."""
    library = tmp_path_factory.mktemp("fake_xen") / "fake_xen.so"
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    subprocess.run(["cc", *flags, f"-I{CSRC}", "-o", library, FAKE_XEN], check=True)
    return library


@pytest.fixture(scope="session")
def on_fake_xen(fake_xen_library):
    """Run code in which `fake` is the `struct fake_xen`; the result is its standard output."""
    header = FAKE_XEN.with_suffix(".h").read_text(encoding="utf-8").splitlines()
    declarations = "\n".join(  # cffi does not parse preprocessor directives
        line for line in header if not line.startswith("#") or "FAKE_MAPTRACK" in line
    )
    prelude = PRELUDE.format(declarations=declarations)

    def run(code):
        done = subprocess.run(
            [sys.executable, "-c", prelude + textwrap.dedent(code)],
            env=os.environ | {"LD_PRELOAD": str(fake_xen_library)},
            capture_output=True,
            text=True,
            timeout=patient(60),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
