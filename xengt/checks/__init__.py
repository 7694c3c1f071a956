"""Whether this machine can run and measure grants, and what to do where it cannot."""

from collections.abc import Iterator

from xengt.checks import hypervisor, leftovers, linux, service
from xengt.checks.check import Check, State

__all__ = ["Check", "State", "run"]


def run() -> Iterator[Check]:
    """Check everything, from the ground up."""
    yield from linux.run()
    yield from hypervisor.run()
    yield from leftovers.run()
    yield from service.run()
