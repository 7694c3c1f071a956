"""Prints the domid of the one guest that publishes references, and the references."""

from xengt.bench.granters.guest import GuestGranter

with GuestGranter("guest") as guest:
    print(guest.domid, *guest.publication.grefs)
