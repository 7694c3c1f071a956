"""The series in order on Debian's source: each step applies exactly and compiles without a word."""

import os

import pytest
from lablib import places
from lablib.artifacts import kernel
from lablib.cache import Cache


def set_in(entry) -> set[str]:
    return {line for line in (entry / ".config").read_text().splitlines() if "CONFIG_" in line}


@pytest.mark.series
def test_a_step_builds(built, step):
    """That none has fuzz, an offset or a warning, the build itself sees to."""
    entry = built("patched", step)
    said = (entry / "xen").read_bytes()
    assert b"-xengt\0" in said
    assert f"xengt {step} patch".encode() in said


@pytest.mark.series
def test_the_last_step_is_the_whole(built, step):
    last = built("patched", step) == built("patched")
    assert last == (step == len(list(places.PATCHES.glob("*.patch"))))


@pytest.mark.series
def test_a_step_of_the_kernel_builds(kernel_step):
    """Twelve minutes of a CPU each; the last one is what the lab boots."""
    cache = Cache(places.cache_root())
    last = kernel.build(cache, os.cpu_count() or 1)
    step = kernel.build(cache, os.cpu_count() or 1, kernel_step)
    assert (step == last) == (kernel_step == len(list(places.KERNEL_PATCHES.glob("*.patch"))))
    assert (step / ".config").read_text() == (last / ".config").read_text()


def test_both_are_of_one_configuration(built):
    assert set_in(built("stock")) == set_in(built("patched"))


@pytest.mark.series
def test_both_debug_builds_are(built):
    assert set_in(built("stock-debug")) == set_in(built("patched-debug"))


@pytest.mark.series
def test_debug_checks_its_assertions(built):
    debug, release = set_in(built("patched-debug")), set_in(built("patched"))
    assert {"CONFIG_DEBUG=y", "CONFIG_DEBUG_LOCKS=y"} <= debug - release
    # What is set differs by what CONFIG_DEBUG brings: nothing of a release build is taken away.
    assert release - debug == {"# CONFIG_DEBUG is not set"}


def test_stock_says_nothing_of_us(built):
    assert b"xengt " not in (built("stock") / "xen").read_bytes()
