"""The lab: Xen with dom0 and a guest under QEMU. ../README.md has a map of the modules."""
