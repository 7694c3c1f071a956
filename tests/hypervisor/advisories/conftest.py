"""Each check, on stock and on both ways of the patched hypervisor."""

import pytest

from tests.hypervisor.binding import Machine
from tests.hypervisor.userspace import compile_hypervisor, link

#: with what goes on inside, and Xen's assertions
FLAGS = ("-O0", "-DEVENTS")


@pytest.fixture(scope="session")
def machines(stock_sources, patched_sources, tmp_path_factory):
    """Each hypervisor, once."""
    into = tmp_path_factory.mktemp("watched")
    made = {}
    for name, sources in {"stock": stock_sources, "patched": patched_sources}.items():
        part = compile_hypervisor(name, sources, into, FLAGS)
        library = link(into / f"lib{name}.so", [part], sources, FLAGS, shared=True)
        made[name] = Machine(library, name)
    return made


@pytest.fixture(
    params=[
        *("stock", "patched", "patched, slow entries"),
        *("patched, bus addresses", "patched, slow entries, bus addresses"),
    ]
)
def machine(request, machines) -> Machine:
    name, *ways = request.param.split(", ")
    machine = machines[name]
    machine.fast = name != "stock" and "slow entries" not in ways
    machine.bus = "bus addresses" in ways
    machine.reset()
    return machine
