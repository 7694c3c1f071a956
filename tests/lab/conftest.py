"""A real Xen under QEMU for these tests: booted once, used by all that need it."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAB = ROOT / "deploy" / "lab" / "lab"
#: few enough for a test to run dom0 out of mappings; 256 a frame
MAPTRACK_FRAMES = 64


@dataclass(frozen=True)
class Dom0:
    """A lab that is up."""

    name: str

    def run(
        self, *words: str, timeout: float = 300, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in dom0: several words are exact arguments, one is a line of shell."""
        return subprocess.run(
            [LAB, "ssh", "--name", self.name, "--timeout", str(timeout), "--", *words],
            capture_output=True,
            text=True,
            check=False,
            input=given or "",
        )

    def succeeds(self, *words: str, timeout: float = 300) -> str:
        """Run a command that must end well; what it printed."""
        done = self.run(*words, timeout=timeout)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def bench(self, *options: str, timeout: float = 300) -> dict:
        """Run `xengt bench` and return its document."""
        return json.loads(self.succeeds("xengt", "bench", *options, "--json", "-", timeout=timeout))

    def put(self, *files: Path) -> None:
        subprocess.run([LAB, "put", "--name", self.name, *files], check=True)


def pytest_addoption(parser):
    parser.addoption("--up", action="store_true", help="use the labs of these tests that are up")


def boot(config: pytest.Config, name: str, *options: str) -> Iterator[Dom0]:
    lab = Dom0(name)
    stays = config.getoption("--up")
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
    frames = f"gnttab_max_maptrack_frames={MAPTRACK_FRAMES}"
    yield from boot(request.config, "tests", "--guest", "--xen-args", frames)


@pytest.fixture(scope="module")
def exact(request) -> Iterator[Dom0]:
    """One vCPU and the instruction clock, and a PV guest that shares 256 pages."""
    yield from boot(request.config, "tests-exact", "--exact", "--guest")


def left_behind(dom0: Dom0) -> str:
    """Whatever of ours is still there, by Xen's own account; empty when there is nothing."""
    # Gone means gone from Xen: `xl list` would hide a domain that only XenStore has forgotten.
    return dom0.succeeds("python3", "/root/dom0/left_behind.py").strip()
