"""A lab that resumes from a snapshot: in seconds, as good as a booted one, and like no other."""

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
from lablib import hypervisor, package, places
from lablib.cache import Cache

from tests.lab.lab_dom0 import LAB, ROOT, Dom0
from tests.lab.test_exact import latencies
from tests.patience import patient

#: as the lab `exact`, whose snapshot these tests share
EXACT = ("--exact", "--guest")
PLAN = ("--granter", "guest", "--batch", "1,32", "--samples", "1000")


@dataclass(frozen=True)
class Started:
    """A lab, what `lab up` printed, the seconds until its first command had run, and then."""

    dom0: Dom0
    output: str
    seconds: float
    date: float
    uptime: float


def start(name: str, *options: str, lab: Path = LAB) -> Started:
    """Start a lab, and run a first command in it."""
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
    """Two resumed labs: `exact` has saved one by now, or has resumed it."""
    assert exact.check_output("xl", "list", "guest")
    names = [f"{prefix}-resumed", f"{prefix}-again"]
    with ExitStack() as stack:
        for name in names:
            stack.callback(subprocess.run, [LAB, "down", "--name", name], check=True)
        first, second = (start(name) for name in names)
        yield first, second


def test_a_saved_lab_resumes_and_is_fast(started):
    print(f"resumed in {[f'{lab.seconds:.1f} s' for lab in started]}")
    for lab in started:
        assert "resuming the lab: " in lab.output
        assert "booting" not in lab.output
        assert lab.seconds < patient(30)  # of which the current package may take half


@pytest.mark.long  # it boots one
def test_its_figures_are_those_of_a_booted_one(started, prefix):
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


def test_no_two_share_a_key_or_random_numbers(started):
    keys = [lab.dom0.check_output("cat /root/.ssh/authorized_keys") for lab in started]
    assert all(len(each.splitlines()) == 1 for each in keys)
    assert keys[0] != keys[1]
    draw = "python3 -c 'import os; print(os.urandom(16).hex())'"
    assert len({lab.dom0.check_output(draw) for lab in started}) == 2


def test_it_has_the_date_of_its_resuming_and_not_of_the_snapshot(started):
    # The date less the time since the boot: of one snapshot, the same until the date is set.
    booted = [int(lab.dom0.check_output("sed -n 's/^btime //p' /proc/stat")) for lab in started]
    assert booted[0] < booted[1]
    for lab, seconds in zip(started, booted, strict=True):
        assert abs(seconds + lab.uptime - lab.date) < 600


def test_its_console_shows_the_boot_that_was_saved(started):
    console = started[0].dom0.console()
    assert "Xen version" in console
    assert "xengt-lab: dom0 is ready" in console


@pytest.mark.long  # it builds a package; every run after a change shows most of it
@pytest.mark.usefixtures("started")
def test_a_change_to_the_package_is_installed_and_needs_no_boot(prefix, tmp_path):
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


@pytest.mark.long  # it boots a lab twice
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

    start_and_stop()  # saves it, unless an earlier run did
    assert "booting" not in start_and_stop()
    newest = max(saved.iterdir(), key=lambda directory: directory.stat().st_mtime)
    with (newest / "dom0.qcow2").open("r+b") as overlay:
        overlay.truncate(1 << 20)
    again = start_and_stop()
    assert "the saved lab does not resume: it is removed, and the lab boots" in again
    assert "booting Xen and dom0" in again
