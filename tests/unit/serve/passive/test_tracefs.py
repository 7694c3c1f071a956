"""What is written to tracefs, and undone wherever it stopped."""

import pytest

from tests.unit.tracing import kernel
from xengt.errors import FailedError, UnmetError
from xengt.serve.passive import tracefs

__all__ = ["kernel"]  # fixtures


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
    assert tracefs.leftover_instances() == ["instances/xengt", "xengt/before", "xengt/zlast"]
    tracefs.undo()
    assert kernel.clean()


def test_what_is_in_use_is_told(kernel):
    tracefs.begin()
    kernel.refuses = "!hist:keys=caller"
    with pytest.raises(FailedError, match="busy") as caught:
        tracefs.undo()
    assert "fuser" in caught.value.remedy
    assert tracefs.leftover_instances()


def test_without_tracefs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tracefs, "ROOT", tmp_path / "none")
    with pytest.raises(UnmetError, match="not mounted") as caught:
        tracefs.begin()
    assert "mount -t tracefs" in caught.value.remedy
    assert tracefs.leftover_instances() == []


def test_what_others_have_written_stays(tmp_path):
    file = tmp_path / "dynamic_events"
    file.write_text("p:mine/theirs do_nanosleep\n")
    tracefs._write(file, "f:xengt/one two")
    assert file.read_text() == "p:mine/theirs do_nanosleep\nf:xengt/one two\n"
