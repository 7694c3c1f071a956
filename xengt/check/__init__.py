"""Checks of this machine: prerequisites of xengt, and sources of measurement noise.

- `linux`: Xen below Linux, privileges, devices, libraries, clock, XenStore
- `hypervisor`: version, IOMMU, limits, vCPUs, build, CPU, console
- `recovery`: domains, mappings and trace objects of killed runs
- `service`: the systemd unit of the Debian package
- `outcome`: the outcome of a check
"""

from collections.abc import Iterator

from xengt.check import hypervisor, linux, recovery, service
from xengt.check.outcome import Check, State

__all__ = ["Check", "State", "run_all"]


def run_all() -> Iterator[Check]:
    """Yield all checks; later ones assume what earlier ones have found."""
    yield from linux.run()
    yield from hypervisor.run()
    yield from recovery.run()
    yield from service.run()
