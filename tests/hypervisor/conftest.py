"""Fixtures that build both hypervisors for user space."""

from pathlib import Path

import pytest
from lablib import places
from lablib.cache import Cache
from lablib.series import patches

from tests.hypervisor.userspace import (
    CHECKED,
    DIFFERENTIAL,
    OPTIMISED,
    compile_hypervisor,
    link,
    prepare,
)


@pytest.fixture(scope="session")
def stock_sources() -> Path:
    return prepare(Cache(places.cache_root()), [])


@pytest.fixture(scope="session")
def patched_sources() -> Path:
    return prepare(Cache(places.cache_root()), patches())


@pytest.fixture(scope="session")
def build(stock_sources, patched_sources, tmp_path_factory):
    """Return a function that links both hypervisors and C files of the tests into one program."""

    def build(
        name: str,
        parts,
        flags,
        *,
        shared: bool = False,
        cc: str = "cc",
        patched: Path | None = None,
    ) -> Path:
        into = tmp_path_factory.mktemp("build")
        hypervisors = [
            compile_hypervisor("stock", stock_sources, into, flags, cc=cc),
            compile_hypervisor("patched", patched or patched_sources, into, flags, cc=cc),
        ]
        parts = [*parts, *hypervisors]
        return link(into / name, parts, stock_sources, flags, shared=shared, cc=cc)

    return build


@pytest.fixture(scope="session")
def differential(build) -> Path:
    """The differential test as an optimised program."""
    return build("differential", ["differential/main.c", *DIFFERENTIAL], OPTIMISED)


@pytest.fixture(scope="session")
def checked_differential(build) -> Path:
    """The differential test under ASan and UBSan, with Xen's assertions."""
    return build("differential", ["differential/main.c", *DIFFERENTIAL], CHECKED)


@pytest.fixture(scope="session")
def differential_library(build) -> Path:
    return build("libdifferential.so", DIFFERENTIAL, OPTIMISED, shared=True)
