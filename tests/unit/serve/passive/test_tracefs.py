"""Trace objects: installed, and removed even if the installation was incomplete."""

import pytest

from tests.unit.fake_tracefs import FOREIGN_EVENT, fake_tracefs
from xengt.errors import FailedError, UnmetError
from xengt.serve.passive import tracefs

__all__ = ["fake_tracefs"]  # fixtures


def test_all_trace_objects_are_removed(fake_tracefs):
    tracefs.install()
    assert len(fake_tracefs.triggers()) == 8
    assert (fake_tracefs.instance / "buffer_size_kb").read_text() == "4\n"
    synthetic = fake_tracefs.instance / "events/synthetic"
    assert tracefs.histogram_file("map") == synthetic / "xengt_map/hist"
    assert tracefs.histogram_file("unmap").exists()
    fake_tracefs.writes.clear()
    tracefs.remove()
    assert fake_tracefs.is_clean()
    # Triggers that use a variable are removed before its definition, so none is tried twice.
    assert len(fake_tracefs.writes) == 8 + 7
    tracefs.remove()
    assert fake_tracefs.is_clean()


@pytest.mark.parametrize("step", range(16))
def test_an_incomplete_installation_is_removed(fake_tracefs, step, monkeypatch):
    remaining = iter(range(step))

    def write(path, text):
        if next(remaining, None) is None:
            raise OSError(22, "Invalid argument", str(path))
        fake_tracefs.write(path, text)

    with monkeypatch.context() as patched:
        patched.setattr(tracefs, "_write", write)
        with pytest.raises(UnmetError, match="Invalid argument"):
            tracefs.install()
    tracefs.remove()
    assert fake_tracefs.is_clean()


def test_trace_objects_of_another_version_are_removed(fake_tracefs):
    fake_tracefs.write(fake_tracefs.events, "f:xengt/before one")
    fake_tracefs.write(fake_tracefs.events, "f:xengt/zlast two")
    fake_tracefs.instance.mkdir()
    fake_tracefs.write(fake_tracefs.trigger_file("xengt/zlast"), "hist:keys=a:first=b")
    fake_tracefs.write(fake_tracefs.trigger_file("xengt/before"), "hist:keys=a:c=$first")
    assert tracefs.trace_objects() == ["instances/xengt", "xengt/before", "xengt/zlast"]
    tracefs.remove()
    assert fake_tracefs.is_clean()


def test_a_trace_object_in_use_is_an_error(fake_tracefs):
    tracefs.install()
    fake_tracefs.rejects = "!hist:keys=caller"
    with pytest.raises(FailedError, match="busy") as caught:
        tracefs.remove()
    assert "fuser" in caught.value.remedy
    assert tracefs.trace_objects()


def test_without_tracefs_the_installation_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(tracefs, "ROOT", tmp_path / "none")
    with pytest.raises(UnmetError, match="not mounted") as caught:
        tracefs.install()
    assert "mount -t tracefs" in caught.value.remedy
    assert tracefs.trace_objects() == []


def test_foreign_events_are_not_removed(tmp_path):
    file = tmp_path / "dynamic_events"
    file.write_text(FOREIGN_EVENT)
    tracefs._write(file, "f:xengt/one two")
    assert file.read_text() == f"{FOREIGN_EVENT}f:xengt/one two\n"
