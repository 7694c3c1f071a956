"""The hypervisor that Xen itself runs on, if Xen is nested.

dom0 cannot ask for it: the CPUID leaves of hypervisors that it sees are Xen's. The firmware's
tables (DMI), which Xen hands on to dom0 unchanged, name the virtual machine.
"""

import re
from pathlib import Path

from xengt.xen.kernel import ROOT, first_line

#: Xen names the hypervisors whose interfaces it uses (xen/arch/x86/guest/hypervisor.c).
_RUNNING_ON = re.compile(r"^\(XEN\) (?:\[[^]]*\] *)?Running on (.+)$", re.MULTILINE)
#: file of /sys/class/dmi/id, how its content begins, name; as in systemd-detect-virt
_MACHINES = (
    ("product_name", "KVM", "KVM"),
    ("product_name", "OpenStack", "KVM"),
    ("product_name", "KubeVirt", "KVM"),
    ("product_name", "Google Compute Engine", "Google Compute Engine"),
    ("product_name", "VirtualBox", "VirtualBox"),
    ("product_name", "Apple Virtualization", "Apple Virtualization"),
    ("product_name", "HVM domU", "Xen"),
    ("sys_vendor", "QEMU", "QEMU or KVM"),
    ("sys_vendor", "VMware", "VMware"),
    ("sys_vendor", "VMW", "VMware"),
    ("sys_vendor", "innotek GmbH", "VirtualBox"),
    ("sys_vendor", "Xen", "Xen"),
    ("sys_vendor", "Bochs", "Bochs"),
    ("sys_vendor", "Parallels", "Parallels"),
    ("sys_vendor", "Nutanix", "Nutanix AHV"),
    ("bios_vendor", "BHYVE", "bhyve"),
)


def detect(console: str, root: Path = ROOT) -> str | None:
    """Return the name of the hypervisor that Xen runs on; None if none is detected.

    Args:
        console: the contents of Xen's console ring.
        root: directory that contains `sys`.
    """
    printed = _RUNNING_ON.search(console)
    if printed is not None:
        return printed[1].strip()
    dmi = {
        name: first_line(f"sys/class/dmi/id/{name}", root) or ""
        for name in ("sys_vendor", "product_name", "bios_vendor")
    }
    # Microsoft and Amazon use the same vendor for hardware.
    if dmi["sys_vendor"] == "Microsoft Corporation" and dmi["product_name"] == "Virtual Machine":
        return "Hyper-V"
    if dmi["sys_vendor"] == "Amazon EC2" and not dmi["product_name"].endswith(".metal"):
        return "Amazon EC2"
    return next((name for file, start, name in _MACHINES if dmi[file].startswith(start)), None)
