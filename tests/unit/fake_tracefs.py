"""A fake tracefs, and histograms captured from a real one."""

import re
import shutil
from pathlib import Path

import pytest

from xengt.serve.passive import guard, tracefs

#: of a dom0 with Debian 13, after load on a guest's disk and network
CAPTURED = Path(__file__).parent / "hist"


FOREIGN_EVENT = "p:mine/theirs do_nanosleep\n"


class FakeTracefs:
    """Files of tracefs with the kernel's reactions to what is written to them.

    Attributes:
        instance: directory of xengt's instance.
        events: the file `dynamic_events`, which also has a `FOREIGN_EVENT`.
        writes: every text written.
        rejects: a text that is rejected as part of any write; None: nothing is.
    """

    def __init__(self, root):
        self.root = root
        self.instance = root / "instances" / "xengt"
        self.events = root / "dynamic_events"
        self.writes = []
        self.rejects = None
        (root / "instances").mkdir()
        self.events.write_text(FOREIGN_EVENT)

    def trigger_file(self, event):
        return self.instance / "events" / event / "trigger"

    def fill_instance(self):
        """Create the files of a new instance, with a directory for each event."""
        for line in self.events.read_text().splitlines():
            kind, _, rest = line.split()[0].partition(":")
            file = self.trigger_file(rest if kind != "s" else f"synthetic/{rest.split('/')[-1]}")
            file.parent.mkdir(parents=True)
            file.write_text("# Available triggers:\n# hist\n")
            (file.parent / "hist").write_text("")
        (self.instance / "buffer_size_kb").write_text("1408")

    def remove_instance(self):
        assert not self.triggers(), "an instance with triggers is busy"
        shutil.rmtree(self.instance)

    def triggers(self):
        """Return the lines of all triggers."""
        files = self.instance.glob("events/*/*/trigger")
        return [line for file in files for line in file.read_text().splitlines() if line[0] != "#"]

    def write(self, path, text):
        """Stand in for tracefs._write."""
        self.writes.append(text)
        if self.rejects and self.rejects in text:
            raise OSError(16, f"busy: {text}", str(path))
        lines = path.read_text().splitlines()
        if path == self.events and text.startswith("-:"):
            assert not self.instance.exists(), "events whose instance exists are busy"
            lines = [line for line in lines if line.split()[0].partition(":")[2] != text[2:]]
        elif path == self.events:
            lines.append(re.sub("^s:", "s:synthetic/", text))
        elif text.startswith("!"):
            lines.remove(f"{text[1:]} [active]")
            others = self.triggers_except(text[1:])
            for variable in re.findall(r"(\w+)=", text.partition("keys=")[2]):
                if any(re.search(rf"\${variable}\b", other) for other in others):
                    raise OSError(16, "busy", str(path))
        elif path.name == "trigger":
            defining = [*self.triggers(), text]
            for variable in re.findall(r"\$(\w+)", text):
                assert any(re.search(rf"\b{variable}=", other) for other in defining)
            lines.append(f"{text} [active]")
        else:
            lines = [text]
        path.write_text("".join(f"{line}\n" for line in lines))

    def triggers_except(self, text):
        return [line for line in self.triggers() if not line.startswith(text)]

    def is_clean(self):
        """Return whether nothing of xengt is left."""
        return not self.instance.exists() and self.events.read_text() == FOREIGN_EVENT


@pytest.fixture
def fake_tracefs(tmp_path, monkeypatch):
    root = tmp_path / "tracing"
    root.mkdir()
    fake = FakeTracefs(root)
    monkeypatch.setattr(tracefs, "ROOT", root)
    monkeypatch.setattr(tracefs, "_write", fake.write)
    monkeypatch.setattr(guard, "LOCK", tmp_path / "lock")
    mkdir, rmdir = Path.mkdir, Path.rmdir

    def make_directory(path, *args, **kwargs):
        mkdir(path, *args, **kwargs)
        if path == fake.instance:
            fake.fill_instance()

    def remove_directory(path):
        if path == fake.instance:
            fake.remove_instance()
        else:
            rmdir(path)

    monkeypatch.setattr(Path, "mkdir", make_directory)
    monkeypatch.setattr(Path, "rmdir", remove_directory)
    return fake


@pytest.fixture
def guard_output(tmp_path, monkeypatch):
    """The file to which the guard's cleanup program, which is replaced, writes its arguments."""
    program, output = tmp_path / "python", tmp_path / "guard_output"
    program.write_text(f'#!/bin/sh\necho "$@" > {output}.new\nmv {output}.new {output}\n')
    program.chmod(0o755)
    monkeypatch.setattr(guard.sys, "executable", str(program))
    return output


def captured_histogram(operation):
    """Return the content of a captured `hist` file."""
    return (CAPTURED / operation).read_text()
