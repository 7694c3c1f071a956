"""Passive latency: what is written to tracefs and undone, what is read, and the guard."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from told import collected

from xengt.checks import leftovers
from xengt.errors import FailedError, UnmetError
from xengt.lock import locked
from xengt.serve.config import PassiveOptions
from xengt.serve.passive import guard, told, tracefs
from xengt.serve.passive.histogram import Entry, entries
from xengt.serve.passive.told import BOUNDS_S, CallsTold, collecting, whose

#: as a dom0 of Debian 13 wrote them, after a guest's disk and network had been busy
CAPTURED = Path(__file__).parent / "hist"
ON = PassiveOptions(enabled=True)


class Kernel:
    """Plays tracefs: what it refuses of what is written to it, and what it then shows."""

    def __init__(self, root):
        self.root = root
        self.instance = root / "instances" / "xengt"
        self.events = root / "dynamic_events"
        self.said = []
        self.refuses = None
        (root / "instances").mkdir()
        self.events.write_text("p:mine/theirs do_nanosleep\n")

    def triggers(self, event):
        return self.instance / "events" / event / "trigger"

    def made(self):
        """An instance has a directory of each event."""
        for line in self.events.read_text().splitlines():
            kind, _, rest = line.split()[0].partition(":")
            file = self.triggers(rest if kind != "s" else f"synthetic/{rest.split('/')[-1]}")
            file.parent.mkdir(parents=True)
            file.write_text("# Available triggers:\n# hist\n")
            (file.parent / "hist").write_text("")
        (self.instance / "buffer_size_kb").write_text("1408")

    def removed(self):
        assert not self.lines(), "the kernel would be busy"
        shutil.rmtree(self.instance)

    def lines(self):
        files = self.instance.glob("events/*/*/trigger")
        return [line for file in files for line in file.read_text().splitlines() if line[0] != "#"]

    def written(self, path, text):
        """Stands for tracefs._write."""
        self.said.append(text)
        if self.refuses and self.refuses in text:
            raise OSError(16, f"busy: {text}", str(path))
        lines = path.read_text().splitlines()
        if path == self.events and text.startswith("-:"):
            assert not self.instance.exists(), "its triggers are still there"
            lines = [line for line in lines if line.split()[0].partition(":")[2] != text[2:]]
        elif path == self.events:
            lines.append(re.sub("^s:", "s:synthetic/", text))
        elif text.startswith("!"):
            lines.remove(f"{text[1:]} [active]")
            for variable in re.findall(r"(\w+)=", text.partition("keys=")[2]):
                if any(re.search(rf"\${variable}\b", other) for other in self.others(text[1:])):
                    raise OSError(16, "busy", str(path))
        elif path.name == "trigger":
            for variable in re.findall(r"\$(\w+)", text):
                assert any(re.search(rf"\b{variable}=", other) for other in [*self.lines(), text])
            lines.append(f"{text} [active]")
        else:
            lines = [text]
        path.write_text("".join(f"{line}\n" for line in lines))

    def others(self, text):
        return [line for line in self.lines() if not line.startswith(text)]

    def clean(self):
        return (
            not self.instance.exists() and self.events.read_text() == "p:mine/theirs do_nanosleep\n"
        )


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    root = tmp_path / "tracing"
    root.mkdir()
    plays = Kernel(root)
    monkeypatch.setattr(tracefs, "ROOT", root)
    monkeypatch.setattr(tracefs, "_write", plays.written)
    monkeypatch.setattr(guard, "LOCK", tmp_path / "lock")
    mkdir, rmdir = Path.mkdir, Path.rmdir

    def makes(path, *args, **kwargs):
        mkdir(path, *args, **kwargs)
        if path == plays.instance:
            plays.made()

    monkeypatch.setattr(Path, "mkdir", makes)
    monkeypatch.setattr(
        Path, "rmdir", lambda path: plays.removed() if path == plays.instance else rmdir(path)
    )
    return plays


@pytest.fixture
def undoing(tmp_path, monkeypatch):
    """Stands for the Python that a guard becomes: it writes what it was called with to a file."""
    program, told = tmp_path / "python", tmp_path / "told"
    program.write_text(f'#!/bin/sh\necho "$@" > {told}.new\nmv {told}.new {told}\n')
    program.chmod(0o755)
    monkeypatch.setattr(guard.sys, "executable", str(program))
    return told


def waits_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


# tracefs


def test_all_that_is_begun_is_undone(kernel):
    tracefs.begin()
    assert len(kernel.lines()) == 8
    assert (kernel.instance / "buffer_size_kb").read_text() == "4\n"
    assert tracefs.kept("map") == kernel.instance / "events/synthetic/xengt_map/hist"
    assert tracefs.kept("unmap").exists()
    kernel.said.clear()
    tracefs.undo()
    assert kernel.clean()
    # What needs another's variables goes before it does; nothing had to be tried twice.
    assert len(kernel.said) == 8 + 7
    tracefs.undo()
    assert kernel.clean()


@pytest.mark.parametrize("step", range(16))
def test_what_was_begun_is_undone_wherever_it_stopped(kernel, step, monkeypatch):
    left = iter(range(step))

    def written(path, text):
        if next(left, None) is None:
            raise OSError(22, "Invalid argument", str(path))
        kernel.written(path, text)

    with monkeypatch.context() as patched:
        patched.setattr(tracefs, "_write", written)
        with pytest.raises(UnmetError, match="Invalid argument"):
            tracefs.begin()
    tracefs.undo()
    assert kernel.clean()


def test_what_another_version_left_is_undone(kernel):
    kernel.written(kernel.events, "f:xengt/before one")
    kernel.written(kernel.events, "f:xengt/zlast two")
    kernel.instance.mkdir()
    kernel.written(kernel.triggers("xengt/zlast"), "hist:keys=a:first=b")
    kernel.written(kernel.triggers("xengt/before"), "hist:keys=a:c=$first")
    assert tracefs.left() == ["instances/xengt", "xengt/before", "xengt/zlast"]
    tracefs.undo()
    assert kernel.clean()


def test_what_is_in_use_is_told(kernel):
    tracefs.begin()
    kernel.refuses = "!hist:keys=caller"
    with pytest.raises(FailedError, match="busy") as caught:
        tracefs.undo()
    assert "fuser" in caught.value.remedy
    assert tracefs.left()


def test_without_tracefs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tracefs, "ROOT", tmp_path / "none")
    with pytest.raises(UnmetError, match="not mounted") as caught:
        tracefs.begin()
    assert "mount -t tracefs" in caught.value.remedy
    assert tracefs.left() == []


def test_what_others_have_written_stays(tmp_path):
    file = tmp_path / "dynamic_events"
    file.write_text("p:mine/theirs do_nanosleep\n")
    tracefs._write(file, "f:xengt/one two")
    assert file.read_text() == "p:mine/theirs do_nanosleep\nf:xengt/one two\n"


# the histogram


def test_a_real_histogram_is_read():
    found = [entry for name in ("map", "unmap") for entry in entries(captured(name))]
    calls = sum(entry.calls for entry in found)
    assert calls == sum(
        int(re.search(r"Hits: (\d+)", captured(name))[1]) for name in ("map", "unmap")
    )
    assert len(found) == sum(captured(name).count("{ caller") for name in ("map", "unmap"))
    for entry in found:
        assert 2 ** (entry.power - 1) < entry.ns / entry.calls <= 2**entry.power
        assert entry.references >= entry.calls
    # The kernel mapped for the network what it unmapped; so for the disk, one way or the other.
    for caller in ("netback", "blkback", "gntdev"):
        mapped, unmapped = (
            sum(each.references for each in entries(captured(name)) if whose(each) == caller)
            for name in ("map", "unmap")
        )
        assert mapped == unmapped > 0


def captured(operation):
    return (CAPTURED / operation).read_text()


@pytest.mark.parametrize(
    ("symbol", "module", "caller"),
    [
        ("xen_blkbk_map", "xen_blkback", "blkback"),
        ("a_new_name", "xen_gntdev", "gntdev"),
        ("gntdev_map_grant_pages", "", "gntdev"),
        ("__unmap_grant_pages_done", "", "gntdev"),
        ("xenvif_tx_action", "", "netback"),
        ("unmap_refs_callback", "", "blkback"),
        ("scsiback_gnttab_data_map_batch", "xen_scsiback", "other"),
        ("0xffffffffc0420592", "", "other"),
    ],
)
def test_a_caller_is_told(symbol, module, caller):
    shown = f"{symbol} [{module}]" if module else symbol
    line = (
        f"{{ caller: [ffffffffc0420592] {shown:<45}, ns: ~ 2^9  }} hitcount:  1  ns:  500  refs:  2"
    )
    (entry,) = entries(line)
    assert entry == Entry(0xFFFFFFFFC0420592, symbol, module, 9, 1, 500, 2)
    assert whose(entry) == caller


# what is told


def labels(caller, operation):
    return ("caller", caller), ("operation", operation)


@pytest.fixture
def shown(kernel):
    """What is told of what the kernel has counted."""
    tracefs.begin()
    assert kernel.lines()
    for name in ("map", "unmap"):
        tracefs.kept(name).write_text(captured(name))
    calls = CallsTold(up=True)
    return lambda: collected(calls)


def test_bounds_are_powers_of_two():
    assert (BOUNDS_S[0], BOUNDS_S[-1]) == (256e-9, 67108864e-9)
    assert {high / low for low, high in pairwise(BOUNDS_S)} == {2}


def test_each_caller_has_its_calls_and_references(shown):
    found = shown()
    assert found["xengt_passive_up",] == 1
    for operation in ("map", "unmap"):
        for caller in ("blkback", "netback", "gntdev"):
            mine = [each for each in entries(captured(operation)) if whose(each) == caller]
            words = labels(caller, operation)
            calls = sum(each.calls for each in mine)
            assert found["xengt_kernel_grant_seconds_count", *words] == calls > 0
            assert found["xengt_kernel_grant_seconds_sum", *words] == pytest.approx(
                sum(each.ns for each in mine) * 1e-9
            )
            assert found["xengt_kernel_grant_references_total", *words] == sum(
                each.references for each in mine
            )
            for power, bound in enumerate(BOUNDS_S, 8):
                within = sum(each.calls for each in mine if each.power <= power)
                key = ("xengt_kernel_grant_seconds_bucket", *words)
                assert found[key[0], key[1], ("le", repr(bound)), key[2]] == within
        assert found["xengt_kernel_grant_seconds_count", *labels("other", operation)] == 0


def test_what_is_shorter_or_longer_than_the_bounds_is_counted(shown):
    line = "{{ caller: [0a] gntdev_x [xen_gntdev] , ns: ~ 2^{} }} hitcount: {} ns: 9 refs: 1\n"
    tracefs.kept("map").write_text(line.format("3 ", 2) + line.format(27, 5))
    found = shown()
    (caller, operation), name = labels("gntdev", "map"), "xengt_kernel_grant_seconds_bucket"
    assert found[name, caller, ("le", "2.56e-07"), operation] == 2
    assert found[name, caller, ("le", repr(BOUNDS_S[-1])), operation] == 2
    assert found[name, caller, ("le", "+Inf"), operation] == 7


def test_a_module_that_goes_leaves_its_calls(shown):
    before = shown()
    tracefs.kept("map").write_text(
        re.sub(r"\] \S+ \[xen_netback\]", "] 0xffffffffc0434a6c", captured("map"))
    )
    assert "xen_netback" not in tracefs.kept("map").read_text()
    assert shown() == before


def test_histograms_that_vanish_are_told(shown, kernel, caplog):
    shutil.rmtree(kernel.instance)
    assert shown() == {("xengt_passive_up",): 0}
    assert "no passive latencies any more" in caplog.text


# for as long as the agent has it


def test_it_lasts_as_long_as_it_is_collected(kernel, undoing):
    sources = []
    with collecting(ON, sources.append):
        assert collected(*sources)["xengt_passive_up",] == 1
        assert len(kernel.lines()) == 8
    assert kernel.clean()
    assert collected(*sources) == {("xengt_passive_up",): 0}
    assert not undoing.exists()


def test_it_is_off_unless_asked_for(kernel):
    sources = []
    with collecting(PassiveOptions(), sources.append):
        assert collected(*sources) == {}
    assert kernel.said == []


def test_an_exception_ends_it_as_well(kernel, undoing):
    with pytest.raises(ZeroDivisionError), collecting(ON, [].append):
        raise ZeroDivisionError
    assert kernel.clean()
    assert not undoing.exists()


def test_what_the_kernel_refuses_does_not_end_the_service(kernel, undoing, caplog):
    kernel.refuses = "gnttab_unmap_refs "
    sources = []
    with collecting(ON, sources.append):
        assert collected(*sources) == {("xengt_passive_up",): 0}
    assert "no passive latencies: the kernel refuses" in caplog.text
    assert kernel.clean()
    assert not undoing.exists()


@pytest.mark.parametrize("enabled", [True, False])
def test_what_a_dead_agent_left_is_taken_back(kernel, undoing, enabled):
    tracefs.begin()
    sources = []
    with collecting(PassiveOptions(enabled), sources.append):
        assert collected(*sources).get(("xengt_passive_up",)) == (1 if enabled else None)
        assert bool(tracefs.left()) == enabled
    assert kernel.clean()
    assert not undoing.exists()


@pytest.mark.parametrize("enabled", [True, False])
def test_what_a_live_agent_has_is_left_alone(kernel, monkeypatch, caplog, enabled):
    tracefs.begin()
    monkeypatch.setattr(guard, "_PATIENCE_S", 0.1)
    sources = []
    with locked(guard.LOCK, patience_s=0, busy="mine"):
        before = list(kernel.said)
        with collecting(PassiveOptions(enabled), sources.append):
            assert collected(*sources) == ({("xengt_passive_up",): 0} if enabled else {})
        assert guard.abandoned() == []
        guard.main()
        assert kernel.said == before
    assert ("another agent traces" in caplog.text) == enabled
    assert guard.abandoned() == tracefs.left() != []
    guard.main()
    assert kernel.clean()


def test_what_cannot_be_taken_back_the_guard_tries_again(kernel, undoing):
    with pytest.raises(FailedError), collecting(ON, [].append):
        kernel.refuses = "-:"
    assert waits_until(undoing.exists)
    assert undoing.read_text() == "-P -m xengt.serve.passive.guard\n"


def test_check_tells_of_it(kernel):
    tracefs.begin()
    check = leftovers.traced(guard.abandoned())
    assert check.state == "warning"
    assert "instances/xengt" in check.what
    tracefs.undo()
    assert kernel.clean()


# the guard


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
        "tracefs.left = lambda: []\n"
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


def test_a_scrape_meanwhile_is_waited_for(kernel, undoing, monkeypatch):
    sources, entered, goes_on = [], threading.Event(), threading.Event()

    def reads(text):
        entered.set()
        goes_on.wait(10)
        assert kernel.instance.exists()
        return entries(text)

    monkeypatch.setattr(told, "entries", reads)
    scraped = []
    thread = threading.Thread(target=lambda: scraped.append(collected(*sources)))
    with collecting(ON, sources.append):
        thread.start()
        assert entered.wait(10)
        threading.Timer(0.2, goes_on.set).start()
    thread.join(10)
    assert scraped[0]["xengt_passive_up",] == 1
    assert kernel.clean()
    assert not undoing.exists()
