"""Builds of the kernel at each step of its series, and configurations of the hypervisor."""

import os

import pytest
from lablib import places
from lablib.artifacts import kernel
from lablib.cache import Cache


def config_lines(entry) -> set[str]:
    """Return the option lines of a build's .config."""
    return {line for line in (entry / ".config").read_text().splitlines() if "CONFIG_" in line}


@pytest.mark.series
def test_a_kernel_step_builds(kernel_step):
    """Each build takes twelve CPU minutes; the lab boots the last one."""
    cache = Cache(places.cache_root())
    last = kernel.build(cache, os.cpu_count() or 1)
    step = kernel.build(cache, os.cpu_count() or 1, kernel_step)
    assert (step == last) == (kernel_step == len(list(places.KERNEL_PATCHES.glob("*.patch"))))
    assert (step / ".config").read_text() == (last / ".config").read_text()


def test_stock_and_patched_have_the_same_configuration(built):
    assert config_lines(built("stock")) == config_lines(built("patched"))


@pytest.mark.series
def test_debug_builds_have_the_same_configuration(built):
    assert config_lines(built("stock-debug")) == config_lines(built("patched-debug"))


@pytest.mark.series
def test_debug_builds_enable_assertions(built):
    debug, release = config_lines(built("patched-debug")), config_lines(built("patched"))
    assert {"CONFIG_DEBUG=y", "CONFIG_DEBUG_LOCKS=y"} <= debug - release
    # CONFIG_DEBUG only adds options to those of a release build.
    assert release - debug == {"# CONFIG_DEBUG is not set"}


def test_stock_has_no_xengt_version_string(built):
    assert b"xengt " not in (built("stock") / "xen").read_bytes()
