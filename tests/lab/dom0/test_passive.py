"""The agent's kernel metrics from tracefs, and the removal of its tracing."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from agent import wait_until
from patience import patient

from xengt.bench.run import WARMUP_ROUNDS
from xengt.serve.passive import guard, tracefs

CONFIG = "[listen]\nport = 0\n[probe]\nenabled = false\n[passive]\nenabled = {}\n"
BATCH, SAMPLES = 8, 100


@pytest.fixture(autouse=True)
def mounted():
    if not (tracefs.ROOT / "dynamic_events").exists():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", tracefs.ROOT], check=True)


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "serve.toml"
    file.write_text(CONFIG.format("true"))
    return file


@pytest.fixture
def agent(agents, config):
    return lambda: agents(config)


def own_tracefs_entries():
    """Return the events and instances in tracefs that belong to xengt."""
    files = ("dynamic_events", "kprobe_events", "synthetic_events")
    lines = [line for file in files for line in (tracefs.ROOT / file).read_text().splitlines()]
    names = [path.name for path in (tracefs.ROOT / "instances").iterdir()]
    return [each for each in (*lines, *names) if "xengt" in each]


def guard_pid(agent):
    """Return the pid of the agent's only child process, the guard."""
    pids = Path(f"/proc/{agent.process.pid}/task/{agent.process.pid}/children").read_text()
    (pid,) = map(int, pids.split())
    return pid


def kernel_metric(found, figure, operation, caller="gntdev"):
    return found[f"xengt_kernel_grant_{figure}", ("caller", caller), ("operation", operation)]


def gntdev_totals(agent, operation):
    """Return the number of calls, their seconds and references, of gntdev."""
    found = agent.scrape()
    names = ("seconds_count", "seconds_sum", "references_total")
    return tuple(kernel_metric(found, name, operation) for name in names)


def test_calls_of_a_benchmark_are_counted_and_timed(agent):
    one = agent()
    before = one.scrape()
    assert before["xengt_passive_up",] == 1
    words = ["--engine", "gntdev", "--batch", str(BATCH), "--samples", str(SAMPLES), "--json"]
    began = time.perf_counter()
    document = json.loads(subprocess.check_output(["xengt", "bench", *words]))
    took = time.perf_counter() - began
    calls = SAMPLES + WARMUP_ROUNDS
    for result, operation in zip(document["results"], ("map", "unmap"), strict=True):
        # Linux makes some unmap calls after the benchmark has ended.
        assert wait_until(lambda op=operation: gntdev_totals(one, op)[0] >= calls, 10)
        count, seconds, references = gntdev_totals(one, operation)
        assert (count, references) == (calls, calls * BATCH)
        mean = seconds / count
        latency = result["latency_ns"]["mean"] * 1e-9 * BATCH
        print(f"{operation}: {mean} of {latency} s, all in {took} s")
        # A gntdev call includes more work than the traced kernel function.
        assert latency / 50 < mean < 3 * latency
        assert seconds < took
    others = [key for key in before if "_references_" in key[0] and key[1][1] == "other"]
    assert [one.scrape()[key] for key in others] == [0, 0]
    assert own_tracefs_entries()
    began = time.monotonic()
    one.process.terminate()
    assert one.process.wait(timeout=patient(300)) == 0
    print(f"ended after {time.monotonic() - began:.2f} s")
    assert own_tracefs_entries() == []


def test_leftovers_of_a_killed_agent_are_cleaned_up(agent, config):
    first = agent()
    os.kill(guard_pid(first), signal.SIGKILL)
    first.process.kill()
    first.process.wait()
    assert own_tracefs_entries()
    checked = subprocess.run(["xengt", "check", "--json"], check=False, stdout=subprocess.PIPE)
    results = [each["what"] for each in json.loads(checked.stdout)["checks"]]
    assert [each for each in results if "instances/xengt" in each and "killed agent" in each], (
        results
    )
    second = agent()  # cleans up, as no guard is running
    assert second.scrape()["xengt_passive_up",] == 1
    assert guard.abandoned_trace_objects() == []  # owned by the second agent now
    config.write_text(CONFIG.format("false"))
    second.process.send_signal(signal.SIGHUP)
    second.read_address()
    assert own_tracefs_entries() == []
    assert not [key for key in second.scrape() if "passive" in key[0] or "kernel" in key[0]]
    config.write_text(CONFIG.format("true"))
    second.process.send_signal(signal.SIGHUP)
    second.read_address()
    assert own_tracefs_entries()
    pid = guard_pid(second)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    assert own_tracefs_entries()
    second.process.kill()
    second.process.wait()
    assert wait_until(lambda: own_tracefs_entries() == [])
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10)
