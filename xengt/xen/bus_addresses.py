"""Whether Xen assigns each grant mapping by this domain its own bus address.

That is a feature of the series in patches/, which Xen reports as `XENFEAT_gnttab_bus_addr`.
Upstream has not assigned that feature bit: another Xen that sets it means something else.
"""

from typing import Literal

from xengt.xen import command_line, kernel, maptrack

#: `foreign`: the bit is set by a Xen without the series
BusAddresses = Literal["none", "own", "foreign"]


def detect() -> BusAddresses:
    """Detect what the feature bit means (/sys/hypervisor, hypfs, Xen's command line)."""
    if not kernel.has_bus_address_bit():
        return "none"
    patched = maptrack.is_patched()
    if patched is None:  # a Xen without hypfs: the series sets the bit with this option only
        words = command_line.of_running_xen()
        patched = bool(command_line.read_boolean(words, "gnttab", "bus-region"))
    return "own" if patched else "foreign"


def has_bus_addresses() -> bool:
    """Return whether each mapping has its own bus address."""
    return detect() == "own"
