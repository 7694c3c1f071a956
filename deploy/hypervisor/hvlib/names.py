"""What things are called, in the package and on the box."""

PACKAGE = "xen-hypervisor-4.20-xengt"

IMAGE = "boot/hypervisor-xengt-4.20-amd64.gz"
"""Not /boot/xen*: 20_linux_xen would take it for stock, and for the newest of all."""

SCRIPT = "etc/grub.d/45_xengt"
"""After every other script's entries: a default that is told by its number stays what it was."""

STATE = "var/lib/xengt-hypervisor"
"""What the box was before, for `remove`."""

ENTRY = "xengt"
"""The id of the entry in GRUB's menu."""

NEXT = "next_entry"
"""GRUB's own variable: the entry to boot once. GRUB clears it before it boots anything."""

CONFIRMED = "xengt_confirmed"
"""Ours: the build id of the hypervisor that is to be the default; any other is not."""

ARGS = "xengt_args"
"""Ours: further words for the command line of the patched hypervisor."""

BUILD_ID = "Xengt-Build-Id"
"""The package's field with what `XENVER_build_id` of its hypervisor returns."""

SHA256 = "Xengt-Sha256"
"""The package's field with the checksum of IMAGE."""
