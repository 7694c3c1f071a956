"""Fixtures with a real Xen under QEMU: each lab boots once and is shared by all its tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.dom0_programs import Programs
from tests.lab.lab_dom0 import Dom0
from tests.lab.lab_pool import LABS, LabPool
from tests.lab.service import CONFIG, Service

HERE = Path(__file__).parent

#: tests that run inside dom0, started by test_run_in_dom0.py and test_dma.py
collect_ignore = ["dom0"]

#: fixture → variant of its lab
FIXTURES = {
    "dom0": "stock",
    "exact": "exact",
    "patched": "patched",
    "patched_exact": "patched-exact",
    "patched_debug": "patched-debug",
    "switched_off": "switched-off",
}


def lab_rank(item: pytest.Item) -> int:
    """Return the position in `LABS` of the lab that a test needs besides the stock one."""
    callspec = getattr(item, "callspec", None)
    variants = {callspec.params["variant"]} if callspec and "variant" in callspec.params else set()
    variants |= {FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in FIXTURES}
    return max((list(LABS).index(variant) for variant in variants), default=0)


def pytest_collection_modifyitems(config, items):
    """Group the tests by lab, so that each lab starts once and stops before the next starts."""
    ours = sorted((item for item in items if HERE in item.path.parents), key=lab_rank)
    for item in ours:
        if list(LABS.values())[lab_rank(item)].long:
            item.add_marker(pytest.mark.long)
    grouped = iter(ours)
    items[:] = [next(grouped) if HERE in item.path.parents else item for item in items]
    if clock := config.getoption("--labs"):
        exact = [
            item
            for item in ours
            if list(LABS.values())[lab_rank(item)].exact or item.get_closest_marker("untimed")
        ]
        deselected = set(ours) - set(exact) if clock == "exact" else set(exact)
        items[:] = [item for item in items if item not in deselected]
        config.hook.pytest_deselected(items=list(deselected))


@pytest.fixture(scope="session")
def labs(request) -> Iterator[LabPool]:
    """The labs; each boots when a test first needs it."""
    config = request.config
    clock = config.getoption("--labs", default=None)
    # Each of two sessions side by side has a stock lab of its own.
    session = "beside-" if clock == "exact" else ""
    found = LabPool(
        keep_running=config.getoption("--up", default=False),
        prefix=config.getoption("--lab-prefix", default="") + session,
        exact=clock != "timed",
        patched=config.getoption("--patched-xen", default=None),
    )
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(scope="session")
def dom0(labs) -> Dom0:
    """The stock lab: two vCPUs, a wall clock, and a PV guest that shares 256 pages."""
    return labs.get("stock")


@pytest.fixture(scope="module")
def exact(labs) -> Dom0:
    """Stock Xen with one vCPU, the instruction clock, and a PV guest that shares 256 pages."""
    return labs.get("exact")


@pytest.fixture
def patched(labs) -> Dom0:
    """As `dom0`, with the patched hypervisor."""
    return labs.get("patched")


@pytest.fixture
def patched_debug(labs) -> Dom0:
    """As `dom0`, with the debug build of the patched hypervisor, which checks assertions."""
    return labs.get("patched-debug")


@pytest.fixture
def switched_off(labs) -> Dom0:
    """As `dom0`, with the patched hypervisor and `gnttab=no-fast-maptrack`."""
    return labs.get("switched-off")


@pytest.fixture(scope="module")
def patched_exact(labs) -> Dom0:
    """As `exact`, with the patched hypervisor."""
    return labs.get("patched-exact")


@pytest.fixture
def service(dom0) -> Iterator[Service]:
    """The agent's unit in the stock lab, stopped; its configuration is restored afterwards."""
    dom0.check_output(f"cp -p {CONFIG} /tmp/serve.toml")
    one = Service(dom0)
    yield one
    one.control("stop")
    dom0.check_output(f"mv /tmp/serve.toml {CONFIG}; systemctl reset-failed")


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Programs:
    """The compiled C programs of semantics/, for any lab."""
    return Programs(tmp_path_factory.mktemp("programs"))
