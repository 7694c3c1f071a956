"""The lab: a real Xen with a real dom0 under QEMU, on a machine that has neither."""
