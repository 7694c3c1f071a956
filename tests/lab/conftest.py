"""A real Xen under QEMU for these tests: booted once, used by all that need it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from reach import LAB, Dom0

#: these run in dom0; test_in_dom0.py takes them there
collect_ignore = ["dom0"]
#: few enough frames, of 256 mappings each, for a test to run dom0 out of them
MAPTRACK = "gnttab_max_maptrack_frames=64"


def pytest_addoption(parser):
    parser.addoption("--up", action="store_true", help="use the labs of these tests that are up")


def boot(config: pytest.Config, name: str, *options: str) -> Iterator[Dom0]:
    lab = Dom0(name)
    stays = config.getoption("--up", default=False)
    if not stays:
        subprocess.run([LAB, "down", "--name", name], check=True, capture_output=True)
        subprocess.run([LAB, "up", "--name", name, *options], check=True)
    try:
        lab.put(Path(__file__).parent / "dom0")
        yield lab
    finally:
        if not stays:
            subprocess.run([LAB, "down", "--name", name], check=True)


@pytest.fixture(scope="session")
def dom0(request) -> Iterator[Dom0]:
    """Two vCPUs, wall-clock time, and a PV guest that shares 256 pages."""
    yield from boot(request.config, "tests", "--guest", "--xen-args", MAPTRACK)


@pytest.fixture(scope="module")
def exact(request) -> Iterator[Dom0]:
    """One vCPU and the instruction clock, and a PV guest that shares 256 pages."""
    yield from boot(request.config, "tests-exact", "--exact", "--guest")
