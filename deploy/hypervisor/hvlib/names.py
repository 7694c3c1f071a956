"""Names of the package, its files, and its variables in GRUB's environment block."""

PACKAGE = "xen-hypervisor-4.20-xengt"

STOCK_PACKAGE = "xen-hypervisor-4.20-amd64"
"""Debian's own hypervisor, which the package depends on."""

IMAGE = "boot/hypervisor-xengt-4.20-amd64.gz"
"""Not /boot/xen*: 20_linux_xen would treat it as a stock hypervisor, and as the newest one."""

SCRIPT = "etc/grub.d/45_xengt"
"""Sorted after the other scripts, so that a default given by its index keeps its meaning."""

STATE_DIRECTORY = "var/lib/xengt-hypervisor"
"""Holds the box's boot configuration before the installation, for `remove`."""

ENTRY = "xengt"
"""Id of the entry in GRUB's menu."""

NEXT_ENTRY = "next_entry"
"""GRUB's variable for the entry to boot once; GRUB clears it before it boots anything."""

CONFIRMED = "xengt_confirmed"
"""Our variable: build id of the one hypervisor that may be the default."""

ARGS = "xengt_args"
"""Our variable: additional arguments for the patched hypervisor's command line."""

BUILD_ID = "Xengt-Build-Id"
"""Package field with the hypervisor's build id, as returned by `XENVER_build_id`."""

SHA256 = "Xengt-Sha256"
"""Package field with the checksum of IMAGE."""
