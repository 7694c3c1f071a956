"""A real Xen under QEMU for these tests: each booted once, used by all that need it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.labs import LABS, Labs
from tests.lab.programs import Programs
from tests.lab.reach import Dom0
from tests.lab.service import CONFIG, Service

HERE = Path(__file__).parent

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


def needed(item: pytest.Item) -> int:
    """The place, in the order of `LABS`, of the one a test needs besides the stock one."""
    callspec = getattr(item, "callspec", None)
    wanted = {callspec.params["variant"]} if callspec and "variant" in callspec.params else set()
    wanted |= {FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in FIXTURES}
    return max((list(LABS).index(variant) for variant in wanted), default=0)


def pytest_collection_modifyitems(config, items):
    """Bring the tests of each lab together: it is started once, and ends before the next starts."""
    ours = sorted((item for item in items if HERE in item.path.parents), key=needed)
    for item in ours:
        if list(LABS.values())[needed(item)].long:
            item.add_marker(pytest.mark.long)
    places = iter(ours)
    items[:] = [next(places) if HERE in item.path.parents else item for item in items]
    if wanted := config.getoption("--labs"):
        beside = [
            item
            for item in ours
            if list(LABS.values())[needed(item)].exact or item.get_closest_marker("untimed")
        ]
        left_out = set(ours) - set(beside) if wanted == "exact" else set(beside)
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))


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
