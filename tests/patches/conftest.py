"""Fixtures for tests of each step of the series, on Debian's Xen and Debian's Linux."""

import os
from pathlib import Path

import pytest
from lablib import hypervisor, places
from lablib.cache import Cache
from lablib.errors import LabError, tail
from lablib.series import kernel_patches, patches


def pytest_generate_tests(metafunc):
    """Parametrize `step` and `kernel_step` with the number of patches applied, from 1."""
    for name, listed in (("step", patches), ("kernel_step", kernel_patches)):
        if name in metafunc.fixturenames:
            try:
                length = len(listed())
            except LabError:  # test_form.py reports it
                length = 0
            metafunc.parametrize(name, range(1, length + 1))


@pytest.fixture(scope="session")
def built():
    """Return a function that builds a variant, or its first patches; it returns the directory."""

    def build(variant: str, first: int | None = None) -> Path:
        cache = Cache(places.cache_root())
        try:
            return hypervisor.build(cache, variant, os.cpu_count() or 1, first)
        except LabError as error:
            log = "\n".join(tail(error.log)) if error.log else ""
            pytest.fail(f"{error.what}\n{log}", pytrace=False)

    return build
