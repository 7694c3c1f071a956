"""A stand-in for tracefs, and what a real one has shown."""

import re
import shutil
from pathlib import Path

import pytest

from xengt.serve.passive import guard, tracefs

#: as a dom0 of Debian 13 wrote them, after a guest's disk and network had been busy
CAPTURED = Path(__file__).parent / "hist"


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


def captured(operation):
    return (CAPTURED / operation).read_text()
