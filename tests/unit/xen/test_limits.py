"""Xen's limits on grant tables, from hypfs, the command line or the defaults."""

from types import SimpleNamespace

import pytest

from tests.unit import stand_in
from xengt.xen import command_line, limits
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError

NO_HYPFS = XenLibraryError("xenhypfs_open", "hypfs", 95)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("gnttab_max_maptrack_frames=9 console=com1", 9),
        ("console=com1", None),
        ("gnttab_max_maptrack_frames=9 gnttab_max_maptrack_frames=0x20", 32),
        ("gnttab_max_maptrack_frames=017", 15),
        ("gnttab_max_maptrack_frames=0", 0),
        # Xen ignores an invalid value and keeps the earlier one
        ("gnttab_max_maptrack_frames=9 gnttab_max_maptrack_frames=lots", 9),
        ("gnttab_max_maptrack_frames=089", None),
        ("gnttab_max_maptrack_frames=4294967296", None),
        ("gnttab_max_maptrack_frames=-1", None),
        ("my_gnttab_max_maptrack_frames=7", None),
        ("gnttab_max_maptrack_frames", None),
    ],
)
def test_a_number_of_the_command_line_is_parsed_as_by_xen(words, found):
    assert command_line.read_number(words, "gnttab_max_maptrack_frames") == found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", None),
        ("gnttab=max-ver:1,no-transitive", None),
        ("gnttab=fast-maptrack", True),
        ("gnttab=no-fast-maptrack", False),
        ("gnttab=max-ver:1,no-fast-maptrack,transitive", False),
        ("gnttab=no-fast-maptrack gnttab=fast-maptrack", True),
        ("gnttab=fast-maptrack,no-fast-maptrack", False),
        ("gnttab=fast-maptrack=off", False),
        ("gnttab=fast-maptrack=yes", True),
        ("gnttab=fast-maptrack=perhaps", None),
        ("gnttab=no-fast-maptrack=yes", None),
        ("no-fast-maptrack", None),
    ],
)
def test_a_boolean_of_the_command_line_is_parsed_as_by_xen(words, found):
    assert command_line.read_boolean(words, "gnttab", "fast-maptrack") is found


class HypFs(stand_in.Limits):
    """A stand-in for hypfs that cannot be opened, or answers as its base class."""

    def __call__(self):
        if self.answer is NO_HYPFS:
            raise self.answer
        return self


class Ctrl(stand_in.Handle):
    """A stand-in for libxenctrl, which returns Xen's command line or raises an error.

    Args:
        words: the command line or the error.
        frames: the limit on dom0's grant table.
    """

    def __init__(self, words, frames=64):
        self.words, self.frames = words, frames

    def __call__(self):
        if isinstance(self.words, Exception):
            raise self.words
        return self

    def version(self):
        return SimpleNamespace(commandline=self.words)

    def grant_size(self, domid):
        assert domid == 0
        return 1, self.frames


@pytest.mark.parametrize(
    ("hypfs", "words", "frames", "source"),
    [
        ("2048", "gnttab_max_maptrack_frames=9", 2048, "hypfs"),
        (NO_HYPFS, "gnttab_max_maptrack_frames=9", 9, "Xen's command line"),
        (XenLibraryError("xenhypfs_read", "x", 2), "gnttab_max_maptrack_frames=9", 9,
         "Xen's command line"),
        (NO_HYPFS, "gnttab_max_maptrack_frames=0", 0, "Xen's command line"),
        ("many", "gnttab_max_maptrack_frames=9", 9, "Xen's command line"),
        (MissingLibraryError(), "console=com1", 1024, "Xen's default"),
        (NO_HYPFS, XenLibraryError("xc_interface_open", "x", 13), 1024, "Xen's default"),
        (NO_HYPFS, MissingLibraryError(), 1024, "Xen's default"),
    ],
)  # fmt: skip
def test_the_maptrack_limit_falls_back_to_command_line_and_default(
    monkeypatch, hypfs, words, frames, source
):
    monkeypatch.setattr(limits, "HypFs", HypFs(hypfs))
    monkeypatch.setattr(limits, "Ctrl", Ctrl(words))
    monkeypatch.setattr(command_line, "Ctrl", Ctrl(words))
    assert limits.limit(limits.MAX_MAPTRACK_FRAMES) == limits.Limit(frames, source)


@pytest.mark.parametrize(
    ("words", "frames", "source"),
    [
        ("gnttab_max_maptrack_frames=2048", 2048, "Xen's command line"),
        ("console=com1", 1024, "Xen's default"),
    ],
)
@pytest.mark.parametrize("current", ["9", "512"])
def test_a_parameter_that_is_lowered_at_run_time_does_not_change_dom0s_limit(
    monkeypatch, words, frames, source, current
):
    monkeypatch.setattr(limits, "HypFs", HypFs(current))
    monkeypatch.setattr(limits, "Ctrl", Ctrl(words))
    monkeypatch.setattr(command_line, "Ctrl", Ctrl(words))
    assert limits.dom0_limit(limits.MAX_MAPTRACK_FRAMES) == limits.Limit(frames, source)
    assert limits.limit(limits.MAX_MAPTRACK_FRAMES).frames == int(current)
    assert limits.maptrack_handles() == frames * 256


def test_a_parameter_that_is_raised_raises_the_bound_of_handles_only(monkeypatch):
    """Xen does not report whether it was raised, or is the default of a vendor's Xen."""
    monkeypatch.setattr(limits, "HypFs", HypFs("4096"))
    monkeypatch.setattr(limits, "Ctrl", Ctrl("console=com1"))
    monkeypatch.setattr(command_line, "Ctrl", Ctrl("console=com1"))
    assert limits.dom0_limit(limits.MAX_MAPTRACK_FRAMES).frames == 1024
    assert limits.maptrack_handles() == 4096 * 256


def test_the_patched_hypervisor_reports_dom0s_limit(monkeypatch):
    monkeypatch.setattr(limits, "HypFs", HypFs("4096", dom0="77"))
    monkeypatch.setattr(limits, "Ctrl", Ctrl("gnttab_max_maptrack_frames=9"))
    monkeypatch.setattr(command_line, "Ctrl", Ctrl("gnttab_max_maptrack_frames=9"))
    source = "/gnttab/0/max-maptrack-frames"
    assert limits.dom0_limit(limits.MAX_MAPTRACK_FRAMES) == limits.Limit(77, source)
    assert limits.maptrack_handles() == 77 * 256


def test_dom0s_grant_frames_are_queried_from_xen(monkeypatch):
    monkeypatch.setattr(limits, "HypFs", HypFs("9"))
    monkeypatch.setattr(limits, "Ctrl", Ctrl("gnttab_max_frames=8", frames=32))
    monkeypatch.setattr(command_line, "Ctrl", Ctrl("gnttab_max_frames=8", frames=32))
    assert limits.dom0_limit(limits.MAX_FRAMES) == limits.Limit(32, "GNTTABOP_query_size")
    monkeypatch.setattr(limits, "Ctrl", Ctrl(XenLibraryError("xc_interface_open", "x", 13)))
    monkeypatch.setattr(command_line, "Ctrl", Ctrl(XenLibraryError("xc_interface_open", "x", 13)))
    assert limits.dom0_limit(limits.MAX_FRAMES, "gnttab_max_frames=8").frames == 8
    assert limits.dom0_limit(limits.MAX_FRAMES, "").frames == 64


def test_a_given_command_line_is_not_requested_from_xen(monkeypatch):
    monkeypatch.setattr(limits, "HypFs", HypFs(NO_HYPFS))
    monkeypatch.setattr(limits, "Ctrl", None)
    monkeypatch.setattr(command_line, "Ctrl", None)
    assert limits.limit(limits.MAX_MAPTRACK_FRAMES, "gnttab_max_maptrack_frames=5").frames == 5
    assert limits.limit(limits.MAX_FRAMES, "").frames == 64
    assert limits.dom0_limit(limits.MAX_MAPTRACK_FRAMES, "").frames == 1024


def test_the_number_of_slow_handles_is_bounded_by_bit_31(monkeypatch):
    monkeypatch.setattr(limits, "HypFs", HypFs(str((1 << 31) - 1)))
    monkeypatch.setattr(limits, "Ctrl", Ctrl(""))
    monkeypatch.setattr(command_line, "Ctrl", Ctrl(""))
    assert limits.maptrack_handles() == 1 << 31
