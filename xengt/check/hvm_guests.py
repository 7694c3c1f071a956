"""Check whether the CPU can cache the grant tables of HVM guests.

Linux in an HVM guest places its grant table in the memory of Xen's PCI device (BAR), which
hvmloader declares as uncacheable. On Intel CPUs Xen overrides that, on AMD CPUs it cannot.
"""

from collections.abc import Iterable

from xengt.check.outcome import Check, ok, warning
from xengt.errors import XengtError
from xengt.xen import kernel
from xengt.xen.xenstore import XenStore
from xenlib_cffi.ctrl_results import DomainInfo

NAME = "HVM grant tables"
#: vendors of the CPUs on which the guest's memory types count
_VENDORS = {"AuthenticAMD", "HygonGenuine"}


def run(domains: Iterable[DomainInfo]) -> Check:
    """Read from XenStore how hvmloader maps the device of each HVM guest.

    Args:
        domains: all domains.
    """
    vendor = kernel.cpu_vendor()
    if vendor not in _VENDORS:
        return ok(
            NAME,
            f"not affected: on this CPU ({vendor}), Xen overrides the guest's memory type; only "
            "AMD and Hygon CPUs are affected",
        )
    try:
        with XenStore() as store:
            guests = {
                each.domid: store.read(
                    f"/local/domain/{each.domid}/hvmloader/pci/xen-platform-pci-bar-uc"
                )
                for each in domains
                # A PVH guest has no hvmloader; its grant table is in its own memory.
                if each.hvm and store.children(f"/local/domain/{each.domid}/hvmloader")
            }
    except XengtError as error:
        return ok(NAME, f"not determined: {error.what}")
    return caching(guests)


def caching(guests: dict[int, str | None]) -> Check:
    """Check that hvmloader was told to map the device of each guest as cacheable.

    Args:
        guests: value of xen-platform-pci-bar-uc in XenStore by domid of an HVM guest; None if the
            toolstack does not know it.
    """
    uncached = [domid for domid, value in guests.items() if value != "0"]
    if not uncached:
        return ok(NAME, "no running HVM guest has an uncacheable grant table")
    return warning(
        NAME,
        f"uncacheable in domains {', '.join(map(str, uncached))}, if their kernels place the "
        "grant table in the memory of Xen's PCI device, as Linux does; grant operations of such "
        "guests are several times slower on AMD CPUs",
        "With Xen 4.21 or later, set xen_platform_pci_bar_uc=0 in the domain's configuration; with "
        "XAPI, set xen-platform-pci-bar-uc=false in a file of /etc/xenopsd.conf.d. Then stop and "
        "start the domain.",
    )
