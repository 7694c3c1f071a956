"""Both hypervisors in user space, compiled once for all that need them."""

from pathlib import Path

import pytest
from lablib import places
from lablib.cache import Cache
from lablib.source.series import patches

from tests.hypervisor.userspace import CHECKED, DIFFER, OPTIMISED, compiled, linked, prepared


@pytest.fixture(scope="session")
def stock_sources() -> Path:
    return prepared(Cache(places.cache_root()), [])


@pytest.fixture(scope="session")
def patched_sources() -> Path:
    return prepared(Cache(places.cache_root()), patches())


@pytest.fixture(scope="session")
def build(stock_sources, patched_sources, tmp_path_factory):
    """Compiles both with some flags, and links them into one program or library with C of ours."""

    def build(
        name: str,
        parts,
        flags,
        *,
        shared: bool = False,
        cc: str = "cc",
        patched: Path | None = None,
    ) -> Path:
        into = tmp_path_factory.mktemp("built")
        both = [
            compiled("stock", stock_sources, into, flags, cc=cc),
            compiled("patched", patched or patched_sources, into, flags, cc=cc),
        ]
        made, parts = into / name, [*parts, *both]
        return linked(made, parts, stock_sources, flags, shared=shared, cc=cc)

    return build


@pytest.fixture(scope="session")
def differ(build) -> Path:
    """The program that plays random steps, as fast as it can."""
    return build("differ", ["differ/main.c", *DIFFER], OPTIMISED)


@pytest.fixture(scope="session")
def checked_differ(build) -> Path:
    """The same under ASan and UBSan, with Xen's assertions."""
    return build("differ", ["differ/main.c", *DIFFER], CHECKED)


@pytest.fixture(scope="session")
def differ_library(build) -> Path:
    return build("libdiffer.so", DIFFER, OPTIMISED, shared=True)
