"""Labs that resume from a snapshot: fast, equivalent to a booted lab, and each unique."""

import gzip
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from lablib import places
from lablib.artifacts import hypervisor, package
from lablib.cache import Cache

from tests.lab.lab_dom0 import LAB, ROOT, Dom0
from tests.lab.test_exact import latencies
from tests.patience import patient

#: options of the lab `exact`, whose snapshot these tests use
EXACT = ("--exact", "--guest")
PLAN = ("--granter", "guest", "--batch", "1,32", "--samples", "1000")


@dataclass(frozen=True)
class Started:
    """A started lab.

    Attributes:
        dom0: its dom0.
        output: standard error of `lab up`.
        seconds: from `lab up` to the end of the first command in dom0.
        date: this machine's time then, in seconds since the epoch.
        uptime: dom0's uptime then, in seconds.
    """

    dom0: Dom0
    output: str
    seconds: float
    date: float
    uptime: float


def start(name: str, *options: str, lab: Path = LAB) -> Started:
    """Start a lab, and run a first command in its dom0."""
    begin = time.monotonic()
    command = [lab, "up", "--name", name, *EXACT, *options]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    dom0 = Dom0(name)
    uptime = dom0.check_output("xl list guest >/dev/null && cat /proc/uptime").split()[0]
    return Started(dom0, output, time.monotonic() - begin, time.time(), float(uptime))


@pytest.fixture(scope="module")
def prefix(request) -> str:
    return f"{request.config.getoption('--lab-prefix', default='')}snapshot"


@pytest.fixture(scope="module")
def started(exact, prefix) -> Iterator[tuple[Started, Started]]:
    """Two labs resumed from the snapshot that the lab `exact` saved or used."""
    assert exact.check_output("xl", "list", "guest")
    names = [f"{prefix}-resumed", f"{prefix}-again"]
    with ExitStack() as stack:
        for name in names:
            stack.callback(subprocess.run, [LAB, "down", "--name", name], check=True)
        first, second = (start(name) for name in names)
        yield first, second


def test_a_saved_lab_resumes_quickly(started):
    print(f"resumed in {[f'{lab.seconds:.1f} s' for lab in started]}")
    for lab in started:
        assert "resuming the lab: " in lab.output
        assert "booting" not in lab.output
        assert lab.seconds < patient(30)  # up to half of it to install the current package


@pytest.mark.long  # boots a lab
def test_costs_equal_those_of_a_booted_lab(started, prefix):
    name = f"{prefix}-booted"
    try:
        lab = start(name, "--boot")
        assert "booting Xen and dom0" in lab.output
        booted = latencies(lab.dom0.bench(*PLAN))
    finally:
        subprocess.run([LAB, "down", "--name", name], check=True)
    resumed = latencies(started[0].dom0.bench(*PLAN))
    for batch, row in booted.items():
        print(f"batch {batch}: booted {row}, resumed {resumed[batch]}")
        assert resumed[batch] == pytest.approx(row, rel=0.001)


def test_resumed_labs_differ_in_keys_and_random_numbers(started):
    keys = [lab.dom0.check_output("cat /root/.ssh/authorized_keys") for lab in started]
    assert all(len(each.splitlines()) == 1 for each in keys)
    assert keys[0] != keys[1]
    draw = "python3 -c 'import os; print(os.urandom(16).hex())'"
    assert len({lab.dom0.check_output(draw) for lab in started}) == 2


def test_the_date_is_set_when_a_lab_resumes(started):
    # btime is the date minus the uptime: equal for labs of one snapshot until the date is set.
    booted = [int(lab.dom0.check_output("sed -n 's/^btime //p' /proc/stat")) for lab in started]
    assert booted[0] < booted[1]
    for lab, seconds in zip(started, booted, strict=True):
        assert abs(seconds + lab.uptime - lab.date) < 600


def test_the_console_log_contains_the_saved_boot(started):
    console = started[0].dom0.console()
    assert "Xen version" in console
    assert "xengt-lab: dom0 is ready" in console


@pytest.mark.long  # builds a package; most of it is exercised whenever the package has changed
@pytest.mark.usefixtures("started")
def test_a_changed_package_is_installed_without_a_boot(prefix, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "tests", *package.COMPILED))
    changed = tree / "xengt/check/outcome.py"
    changed.write_text(changed.read_text() + "\nCHANGED = True\n")
    name = f"{prefix}-changed"
    try:
        lab = start(name, lab=tree / "deploy/lab/lab")
        assert "booting" not in lab.output
        assert "installing xengt's current package" in lab.output
        lab.dom0.check_output("python3", "-c", "from xengt.check.outcome import CHANGED")
        lab.dom0.check_output("dpkg --verify xengt && ! systemctl is-enabled xengt.service")
    finally:
        subprocess.run([LAB, "down", "--name", name], check=True)


@pytest.mark.long  # boots a lab twice
def test_a_damaged_snapshot_is_removed_and_the_lab_boots(prefix, tmp_path):
    packed = tmp_path / "xen.gz"
    image = hypervisor.build(Cache(places.cache_root()), "stock", os.cpu_count() or 1) / "xen"
    packed.write_bytes(gzip.compress(image.read_bytes()))
    saved = places.cache_root() / "snapshot"
    name = f"{prefix}-damaged"
    command = [LAB, "up", "--name", name, "--exact", "--xen", packed, "--xen-args", "loglvl=info"]

    def start_and_stop() -> str:
        try:
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            assert Dom0(name).check_output("xl info xen_commandline")
            return done.stderr
        finally:
            subprocess.run([LAB, "down", "--name", name], check=True)

    start_and_stop()  # saves the snapshot, unless an earlier run did
    assert "booting" not in start_and_stop()
    newest = max(saved.iterdir(), key=lambda directory: directory.stat().st_mtime)
    with (newest / "dom0.qcow2").open("r+b") as overlay:
        overlay.truncate(1 << 20)
    again = start_and_stop()
    assert "the snapshot cannot be resumed: it is removed, and the lab boots" in again
    assert "booting Xen and dom0" in again
