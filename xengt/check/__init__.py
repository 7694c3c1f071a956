"""Whether this machine can run and measure grants, and what to do where it cannot."""

from collections.abc import Iterator

from xengt.check import hypervisor, linux, recovery, service
from xengt.check.outcome import Check, State

__all__ = ["Check", "State", "run_all"]


def run_all() -> Iterator[Check]:
    """Check everything, from the ground up."""
    yield from linux.run()
    yield from hypervisor.run()
    yield from recovery.run()
    yield from service.run()
