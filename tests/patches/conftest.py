"""The series of this tree, step by step, on Debian's Xen and on Debian's Linux."""

import os
from pathlib import Path

import pytest
from lablib import places
from lablib.artifacts import hypervisor
from lablib.cache import Cache
from lablib.errors import LabError, tail
from lablib.source.series import kernel_patches, patches


def pytest_generate_tests(metafunc):
    for name, listed in (("step", patches), ("kernel_step", kernel_patches)):
        if name in metafunc.fixturenames:
            try:
                length = len(listed())
            except LabError:  # test_form.py says so
                length = 0
            metafunc.parametrize(name, range(1, length + 1))


@pytest.fixture(scope="session")
def built():
    """Builds a variant, or its first patches; gives its directory."""

    def build(variant: str, first: int | None = None) -> Path:
        cache = Cache(places.cache_root())
        try:
            return hypervisor.build(cache, variant, os.cpu_count() or 1, first)
        except LabError as error:
            said = "\n".join(tail(error.log)) if error.log else ""
            pytest.fail(f"{error.what}\n{said}", pytrace=False)

    return build
