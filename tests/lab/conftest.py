"""A real Xen under QEMU for these tests: each booted once, used by all that need it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from labs import LABS, Labs
from programs import Programs
from reach import Dom0
from service import CONFIG, Service

#: these run in dom0; test_in_dom0.py takes them there
collect_ignore = ["dom0"]

#: fixture → the lab it needs
FIXTURES = {
    "dom0": "stock",
    "exact": "exact",
    "patched": "patched",
    "patched_exact": "patched-exact",
    "patched_debug": "patched-debug",
    "switched_off": "switched-off",
}


HERE = Path(__file__).parent
#: what only `./tests/run long` runs: by variant, and by module
LONG_VARIANTS = {
    *("patched-debug", "switched-off", "switched-off-exact", "without-bus-exact"),
    *("strict-amd", "strict-stock", "strict-guest", "strict-stock-guest"),
    *("bus-region", "no-bus-region", "no-bus-region-debian"),
}
LONG_MODULES = {
    *("test_backends", "test_fleet", "test_grub", "test_handles", "test_kernel", "test_mapper"),
    "test_package",
    *("test_prometheus", "test_service_ends", "test_trace", "test_upstream"),
    *("test_version_race", "test_xenstored"),
}


def needed(item: pytest.Item) -> int:
    """The place, in the order labs are booted, of the one a test needs besides the stock one."""
    callspec = getattr(item, "callspec", None)
    wanted = {callspec.params["variant"]} if callspec and "variant" in callspec.params else set()
    wanted |= {FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in FIXTURES}
    return max((list(LABS).index(variant) for variant in wanted), default=0)


#: and one by one
LONG_TESTS = {
    "test_memory_is_flat_over_10_000_probes_and_scrapes",
    "test_what_the_kernel_times_itself_is_told_and_nothing_of_it_stays",
    # what is different of it there, test_scraping shows
    *("test_in_dom0[test_passive.py-patched]", "test_in_dom0[test_serve.py-patched]"),
}


def takes_long(item: pytest.Item) -> bool:
    return (
        item.name in LONG_TESTS
        or item.path.stem in LONG_MODULES
        or list(LABS)[needed(item)] in LONG_VARIANTS
    )


def pytest_collection_modifyitems(config, items):
    """All the tests of a lab together: it is booted once, and goes before the next one comes."""
    items.sort(key=needed)
    if not config.getoption("--long"):
        for item in items:
            if HERE in item.path.parents and takes_long(item):
                item.add_marker(pytest.mark.skip(reason="takes long: ./tests/run long"))


@pytest.fixture(scope="session")
def labs(request) -> Iterator[Labs]:
    """The labs, booted when they are asked for."""
    config = request.config
    found = Labs(
        stays=config.getoption("--up", default=False),
        prefix=config.getoption("--lab-prefix", default=""),
        patched=config.getoption("--patched-xen", default=None),
    )
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(scope="session")
def dom0(labs) -> Dom0:
    """Stock Xen: two vCPUs, wall-clock time, and a PV guest that shares 256 pages."""
    return labs.get("stock")


@pytest.fixture(scope="module")
def exact(labs) -> Dom0:
    """Stock Xen: one vCPU and the instruction clock, and a PV guest that shares 256 pages."""
    return labs.get("exact")


@pytest.fixture
def patched(labs) -> Dom0:
    """The patched hypervisor, otherwise as `dom0`."""
    return labs.get("patched")


@pytest.fixture
def patched_debug(labs) -> Dom0:
    """The patched hypervisor with its assertions, otherwise as `dom0`."""
    return labs.get("patched-debug")


@pytest.fixture
def switched_off(labs) -> Dom0:
    """The patched hypervisor with `gnttab=no-fast-maptrack`, otherwise as `dom0`."""
    return labs.get("switched-off")


@pytest.fixture(scope="module")
def patched_exact(labs) -> Dom0:
    """The patched hypervisor, otherwise as `exact`."""
    return labs.get("patched-exact")


@pytest.fixture
def service(dom0) -> Iterator[Service]:
    """The agent's unit on stock Xen, stopped; what a test configures is taken back."""
    dom0.succeeds(f"cp -p {CONFIG} /tmp/serve.toml")
    one = Service(dom0)
    yield one
    one.control("stop")
    dom0.succeeds(f"mv /tmp/serve.toml {CONFIG}; systemctl reset-failed")


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Programs:
    """The C programs of semantics/, in any lab."""
    return Programs(tmp_path_factory.mktemp("programs"))
