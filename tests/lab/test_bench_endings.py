"""Every way in which a benchmark run can end: message, exit code, and no leaks."""

import subprocess
import time

import pytest

from tests.lab.lab_dom0 import LAB, leftovers
from tests.lab.xen_constants import HANDLES_PER_FRAME
from xengt.bench.engines.names import EngineName

LONG = "xengt bench --engine {engine} --granter {granter} --batch 32 --references 32 --duration 60"
#: the same with held mappings, which exist whenever the run is killed
HOLDING = f"{LONG} --hold 200"


@pytest.fixture
def background(dom0):
    """Starts a long run in dom0; returns the local process, and the run's pid in dom0."""
    started: list[subprocess.Popen[str]] = []

    def start(command: str) -> tuple[subprocess.Popen[str], str]:
        running = subprocess.Popen(
            [LAB, "ssh", "--name", dom0.name, "--", f"sh -c 'echo $$; exec {command}'"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        started.append(running)
        pid = running.stdout.readline().strip()
        # The run prints the case before it measures it.
        assert "setup 1 of" in running.stderr.readline()
        time.sleep(3)
        return running, pid

    yield start
    dom0.run("pkill -9 -x xengt")  # a run left by a failed test would make the next tests fail
    for running in started:
        running.kill()
        running.wait()


@pytest.mark.parametrize(
    ("granter", "engine"),
    [
        (granter, engine)
        for granter in ("empty", "self", "guest")
        for engine in ("hypercall", "gntdev")
    ],
)
def test_the_next_run_cleans_up_after_a_killed_one(dom0, background, engine, granter):
    running, pid = background(HOLDING.format(engine=engine, granter=granter))
    dom0.check_output("kill", "-9", pid)
    assert running.wait(300) == 137
    if granter == "empty" or engine == "hypercall":
        # The mappings or domains must outlive the killed run for this test to be meaningful.
        assert leftovers(dom0, within=0) != ""
    again = dom0.run("xengt", "bench", "--samples", "10")
    assert again.returncode == 0, again.stderr
    if granter == "empty" or engine == "hypercall":
        assert "cleaned up after a killed run" in again.stderr
    assert leftovers(dom0) == ""


@pytest.mark.parametrize("engine", ["copy", "persistent"])
def test_a_killed_run_without_hypercall_mappings_leaves_only_its_domain(dom0, background, engine):
    running, pid = background(LONG.format(engine=engine, granter="empty"))
    dom0.check_output("kill", "-9", pid)
    assert running.wait(300) == 137
    assert leftovers(dom0, within=0) != ""
    again = dom0.run("xengt", "bench", "--samples", "10")
    assert again.returncode == 0, again.stderr
    assert "cleaned up after a killed run" in again.stderr
    assert leftovers(dom0) == ""


@pytest.mark.parametrize(
    ("number", "code", "engine"),
    [*(("INT", 130, engine) for engine in EngineName), ("TERM", 143, "hypercall")],
)
def test_a_signal_ends_the_run(dom0, background, number, code, engine):
    running, pid = background(LONG.format(engine=engine, granter="empty"))
    dom0.check_output("kill", f"-{number}", pid)
    assert running.wait(300) == code
    assert leftovers(dom0) == ""


def test_a_second_run_at_the_same_time_is_refused(dom0, background):
    _, pid = background(LONG.format(engine="hypercall", granter="empty"))
    second = dom0.run("xengt", "bench", "--samples", "10")
    assert second.returncode == 2
    assert "another xengt process holds the lock on /run/xengt/mappings" in second.stderr
    dom0.check_output("kill", pid)


def test_a_full_maptrack_ends_the_run(dom0):
    frames = int(dom0.check_output("xenhypfs", "cat", "/params/gnttab_max_maptrack_frames"))
    handles = HANDLES_PER_FRAME * frames
    held = handles + 100
    full = dom0.run("xengt", "bench", "--hold", str(held), "--samples", "10")
    assert full.returncode == 3
    assert "GNTST_no_space" in full.stderr
    assert f"it may hold {handles} mappings" in full.stderr
    assert "gnttab_max_maptrack_frames" in full.stderr
    assert leftovers(dom0) == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--granter guest:nobody", "nobody"),
        ("--granter guest:4242", "4242"),
        ("--granter guest --references 300", "256"),
        ("--granter self --references 5000", "gntalloc"),
        ("--granters 1 --references 900000", "free pages of this host"),
        ("--threads 3", "3 threads"),
        ("--batch 513", "--batch '513'"),
        ("--engine netfront", "--engine 'netfront'"),
        ("--references 10 --batch 32", "raise --references to 32"),
        ("--samples 5 --duration 5", "cannot be used together"),
        ("--touch read", "--touch read has no effect"),
    ],
)
def test_impossible_options_are_refused(dom0, options, message):
    done = dom0.run(f"xengt bench {options}")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert leftovers(dom0) == ""


def test_a_user_other_than_root_is_refused(dom0):
    done = dom0.run("setpriv --reuid 65534 --regid 65534 --clear-groups xengt bench")
    assert done.returncode == 2
    assert "root" in done.stderr


@pytest.mark.parametrize("engine", ["hypercall", "gntdev", "copy", "gntdev-copy"])
def test_a_revoked_reference_ends_the_run(dom0, background, engine):
    dom0.check_output(
        "xengt share --to 0 --pages 64 > /tmp/share.log 2>&1 < /dev/null & "
        "echo $! > /tmp/share.pid; "
        "until grep -q ready: /tmp/share.log; do sleep 0.2; done"
    )
    running, _ = background(
        f"xengt bench --engine {engine} --granter guest:0 --references 64 --duration 60"
    )
    dom0.check_output("kill $(cat /tmp/share.pid)")
    output = running.stderr.read()
    assert running.wait(300) == 3
    assert "of domain 0" in output
    assert "GNTST_" in output
    assert "restart `xengt share` in domain 0" in output
    assert leftovers(dom0) == ""


def test_a_dying_granter_ends_the_run(dom0, background):
    running, _ = background(LONG.format(engine="hypercall", granter="empty"))
    domid = dom0.check_output("python3 /root/dom0/destroy_benchmark_domain.py").strip()
    output = running.stderr.read()
    assert running.wait(300) == 3
    assert f"domain {domid}" in output
    assert "is dying" in output or "does not exist any more" in output
    assert leftovers(dom0) == ""


def test_a_stopped_xenstored_is_reported(dom0):
    dom0.check_output("pkill -STOP xenstored || pkill -STOP oxenstored")
    try:
        began = time.monotonic()
        done = dom0.run("xengt", "bench", "--granter", "guest", "--samples", "10", timeout=120)
        took = time.monotonic() - began
    finally:
        dom0.check_output("pkill -CONT xenstored || pkill -CONT oxenstored")
    assert done.returncode in {2, 3}
    assert "XenStore does not answer" in done.stderr
    assert took < 60
    assert leftovers(dom0) == ""


def test_compare_rejects_a_document_of_another_schema(dom0):
    dom0.check_output("""echo '{"schema": "fio/1"}' > /tmp/other.json""")
    done = dom0.run("xengt compare /tmp/other.json -- /tmp/other.json")
    assert done.returncode == 2
    assert "fio/1" in done.stderr
    assert "xengt.bench/3" in done.stderr
