"""Checks of this machine: prerequisites of xengt, and sources of measurement noise.

- `linux`: Xen below Linux, privileges, devices, libraries, clock, XenStore
- `hypervisor`: version, IOMMU, limits, vCPUs, build, CPU, outer hypervisor, console
- `hvm_guests`: whether the grant tables of HVM guests are cacheable
- `recovery`: domains, mappings and trace objects of killed runs
- `service`: the systemd unit of the Debian package
- `outcome`: the outcome of a check
"""

from collections.abc import Collection, Iterator
from itertools import chain

from xengt.check import hypervisor, linux, recovery, service
from xengt.check.outcome import DOM0_COMMANDS, Check, Command, State

__all__ = ["DOM0_COMMANDS", "Check", "Command", "State", "run_all"]


def run_all(commands: Collection[Command] = DOM0_COMMANDS) -> Iterator[Check]:
    """Yield all checks; later ones assume what earlier ones have found.

    Args:
        commands: the commands that the user wants to run; only what prevents one of them is
            missing.
    """
    for check in chain(linux.run(), hypervisor.run(), recovery.run(), service.run()):
        yield check.judged_for(commands)
