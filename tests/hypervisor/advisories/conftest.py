"""Fixture that runs each check on stock and on the patched hypervisor with all its options."""

import pytest

from tests.hypervisor.binding import Machine
from tests.hypervisor.userspace import compile_hypervisor, link

#: with events and Xen's assertions
FLAGS = ("-O0", "-DEVENTS")


@pytest.fixture(scope="session")
def machines(stock_sources, patched_sources, tmp_path_factory):
    """Return both hypervisors by name."""
    into = tmp_path_factory.mktemp("advisories")
    machines = {}
    for name, sources in {"stock": stock_sources, "patched": patched_sources}.items():
        part = compile_hypervisor(name, sources, into, FLAGS)
        library = link(into / f"lib{name}.so", [part], sources, FLAGS, shared=True)
        machines[name] = Machine(library, name)
    return machines


@pytest.fixture(
    params=[
        *("stock", "patched", "patched, slow entries"),
        *("patched, bus addresses", "patched, slow entries, bus addresses"),
    ]
)
def machine(request, machines) -> Machine:
    name, *options = request.param.split(", ")
    machine = machines[name]
    machine.fast = name != "stock" and "slow entries" not in options
    machine.bus = "bus addresses" in options
    machine.batch_flush, machine.skip_flush = True, False
    machine.reset()
    return machine
