"""However a run ends: the message, the exit code, and that nothing of it stays."""

import subprocess
import time

import pytest

from tests.lab.reach import LAB, left_behind

LONG = (
    "xengt bench --engine {engine} --granter {granter} --batch 32 --references 32 --hold 200"
    " --duration 60"
)


@pytest.fixture
def background(dom0):
    """Starts a long run in dom0; gives the process here, and dom0's pid of it."""
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
        # It measures once it has said which case it is at.
        assert "case 1 of" in running.stderr.readline()
        time.sleep(3)
        return running, pid

    yield start
    dom0.run("pkill -9 -x xengt")  # what a failed test leaves would fail the next ones too
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
def test_killed_in_mid_run_is_cleaned_up_by_the_next(dom0, background, engine, granter):
    running, pid = background(LONG.format(engine=engine, granter=granter))
    dom0.succeeds("kill", "-9", pid)
    assert running.wait(300) == 137
    if granter == "empty" or engine == "hypercall":
        # Its mappings and its domains outlive it: else this test would show nothing.
        assert left_behind(dom0, within=0) != ""
    again = dom0.run("xengt", "bench", "--samples", "10")
    assert again.returncode == 0, again.stderr
    if granter == "empty" or engine == "hypercall":
        assert "cleaned up after a killed run" in again.stderr
    assert left_behind(dom0) == ""


@pytest.mark.parametrize("number", ["INT", "TERM"])
@pytest.mark.parametrize("engine", ["hypercall", "gntdev"])
def test_interrupted_in_mid_run(dom0, background, number, engine):
    running, pid = background(LONG.format(engine=engine, granter="empty"))
    dom0.succeeds("kill", f"-{number}", pid)
    assert running.wait(300) == 130
    assert left_behind(dom0) == ""


def test_only_one_at_a_time(dom0, background):
    _, pid = background(LONG.format(engine="hypercall", granter="empty"))
    second = dom0.run("xengt", "bench", "--samples", "10")
    assert second.returncode == 2
    assert "another xengt is measuring" in second.stderr
    dom0.succeeds("kill", pid)


def test_maptrack_full(dom0):
    handles = 256 * int(dom0.succeeds("xenhypfs", "cat", "/params/gnttab_max_maptrack_frames"))
    held = handles + 100
    full = dom0.run("xengt", "bench", "--hold", str(held), "--samples", "10")
    assert full.returncode == 3
    assert "GNTST_no_space" in full.stderr
    assert f"it may hold {handles} mappings" in full.stderr
    assert "gnttab_max_maptrack_frames" in full.stderr
    assert left_behind(dom0) == ""


@pytest.mark.parametrize(
    ("options", "said"),
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
        ("--samples 5 --duration 5", "exclude each other"),
    ],
)
def test_what_cannot_be_is_refused(dom0, options, said):
    done = dom0.run(f"xengt bench {options}")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert left_behind(dom0) == ""


def test_not_root(dom0):
    done = dom0.run("setpriv --reuid 65534 --regid 65534 --clear-groups xengt bench")
    assert done.returncode == 2
    assert "root" in done.stderr


@pytest.mark.parametrize("engine", ["hypercall", "gntdev"])
def test_a_reference_revoked_in_mid_run(dom0, background, engine):
    dom0.succeeds(
        "xengt share --to 0 --pages 64 > /tmp/share.log 2>&1 < /dev/null & "
        "echo $! > /tmp/share.pid; "
        "until grep -q ready: /tmp/share.log; do sleep 0.2; done"
    )
    running, _ = background(
        f"xengt bench --engine {engine} --granter guest:0 --references 64 --duration 60"
    )
    dom0.succeeds("kill $(cat /tmp/share.pid)")
    said = running.stderr.read()
    assert running.wait(300) == 3
    assert "of domain 0" in said
    assert "GNTST_" in said
    assert "`xengt share`, restart that" in said
    assert left_behind(dom0) == ""


def test_a_domain_dying_in_mid_run(dom0, background):
    running, _ = background(LONG.format(engine="hypercall", granter="empty"))
    domid = dom0.succeeds("python3 /root/dom0/destroy_ours.py").strip()
    said = running.stderr.read()
    assert running.wait(300) == 3
    assert f"domain {domid}" in said
    assert "is dying" in said or "does not exist any more" in said
    assert left_behind(dom0) == ""


def test_xenstored_stopped(dom0):
    dom0.succeeds("pkill -STOP xenstored || pkill -STOP oxenstored")
    try:
        began = time.monotonic()
        done = dom0.run("xengt", "bench", "--granter", "guest", "--samples", "10", timeout=120)
        took = time.monotonic() - began
    finally:
        dom0.succeeds("pkill -CONT xenstored || pkill -CONT oxenstored")
    assert done.returncode in {2, 3}
    assert "XenStore does not answer" in done.stderr
    assert took < 60
    assert left_behind(dom0) == ""


def test_a_document_of_another_schema(dom0):
    dom0.succeeds("""echo '{"schema": "fio/1"}' > /tmp/other.json""")
    done = dom0.run("xengt compare /tmp/other.json -- /tmp/other.json")
    assert done.returncode == 2
    assert "fio/1" in done.stderr
    assert "xengt.bench/2" in done.stderr
