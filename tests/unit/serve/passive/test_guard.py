"""The guard, which undoes what a killed agent cannot."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.tracing import undoing
from tests.unit.waiting import waits_until
from xengt.serve.passive import guard, tracefs

__all__ = ["undoing"]  # fixtures


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    """An agent of its own with a guard, and the guard; what it has open is in `has`."""
    monkeypatch.setattr(tracefs, "ROOT", tmp_path)
    code = (
        "import os, sys, socket, signal\n"
        "from xengt.serve import service\n"
        "from xengt.serve.passive import guard, tracefs\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, service.SIGNALS)\n"
        "sys.executable, made = sys.argv[1], guard.subprocess.Popen\n"
        "tracefs.leftover_instances = lambda: []\n"
        "def popen(*words, **options):\n"
        "    process = made(*words, **options)\n"
        "    print(process.pid, flush=True)\n"
        "    return process\n"
        "guard.subprocess.Popen = popen\n"
        "listening = socket.create_server(('127.0.0.1', 0))\n"
        "os.set_inheritable(listening.fileno(), True)\n"
        "with guard._guarded():\n"
        "    sys.stdin.read()\n"
    )
    agents = []

    def start(program):
        words = ["python3", "-c", code, str(program)]
        agents.append(
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        return agents[-1], int(agents[-1].stdout.readline())

    yield start
    for agent in agents:
        agent.kill()
        agent.wait()


def gone(pid):
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_a_guard_acts_when_the_agent_is_killed(guarded, undoing):
    agent, pid = guarded(guard.sys.executable)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    assert os.getsid(pid) == pid  # what is sent to the agent's group does not get there
    opened = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
    assert not [each for each in opened if "socket" in each or "lock" in each]
    time.sleep(0.1)
    assert not gone(pid)
    assert not undoing.exists()
    agent.kill()
    assert waits_until(undoing.exists)
    assert waits_until(lambda: gone(pid))


def test_a_guard_goes_when_all_is_taken_back(guarded, undoing):
    agent, pid = guarded(guard.sys.executable)
    agent.stdin.close()
    assert agent.wait(10) == 0
    assert gone(pid)
    assert not undoing.exists()
