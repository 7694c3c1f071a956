"""The guard, which cleans up after an agent that was killed."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.fake_tracefs import guard_output
from tests.unit.waiting import wait_until
from xengt.serve.passive import guard, tracefs

__all__ = ["guard_output"]  # fixtures


@pytest.fixture
def start_agent(tmp_path, monkeypatch):
    """A function that starts an agent with a guard; returns the agent and the guard's PID."""
    monkeypatch.setattr(tracefs, "ROOT", tmp_path)
    code = (
        "import os, sys, socket, signal\n"
        "from xengt.serve import service\n"
        "from xengt.serve.passive import guard, tracefs\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, service.SIGNALS)\n"
        "sys.executable, Popen = sys.argv[1], guard.subprocess.Popen\n"
        "tracefs.trace_objects = lambda: []\n"
        "def popen(*words, **options):\n"
        "    process = Popen(*words, **options)\n"
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


def has_ended(pid):
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_the_guard_cleans_up_when_the_agent_is_killed(start_agent, guard_output):
    agent, pid = start_agent(guard.sys.executable)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    assert os.getsid(pid) == pid  # signals to the agent's process group do not reach it
    opened = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # a module that the guard is still importing
            opened.append(str(each.readlink()))
    assert not [each for each in opened if "socket" in each or "lock" in each]
    time.sleep(0.1)
    assert not has_ended(pid)
    assert not guard_output.exists()
    agent.kill()
    assert wait_until(guard_output.exists)
    assert wait_until(lambda: has_ended(pid))


def test_the_guard_exits_when_nothing_is_left(start_agent, guard_output):
    agent, pid = start_agent(guard.sys.executable)
    agent.stdin.close()
    assert agent.wait(10) == 0
    assert has_ended(pid)
    assert not guard_output.exists()
