"""Paths of the device files that Linux's Xen drivers create."""

PRIVCMD = "/dev/xen/privcmd"
HYPERCALL = "/dev/xen/hypercall"
GNTDEV = "/dev/xen/gntdev"
GNTALLOC = "/dev/xen/gntalloc"
EVTCHN = "/dev/xen/evtchn"
XENBUS = "/dev/xen/xenbus"
