"""Large packets of a guest through netback: to a network card, or to dom0 itself.

dom0 forwards packets to a card. Linux copies them for the virtio card, which computes no checksums
in QEMU's user network and therefore has no scatter-gather. A card with scatter-gather reads them
from the guest's pages. dom0's CPU reads the packets that are for dom0.

arguments: `virtio`, `scatter-gather` or `dom0`, and the number of pings, each a packet of 65,028
bytes in 44 fragments. Prints a JSON line: the packets that the card has transmitted, and how many
batches dom0 has unmapped with and without a flush (null on stock); netback unmaps almost all of
them.
"""

import json
import sys
from contextlib import ExitStack
from pathlib import Path

from traffic import (
    BYTES,
    DOM0_ADDRESS,
    make_disk,
    run,
    running_guest,
    wait_until_gone,
    wait_until_printed,
)
from unmapped_batches import grown, unmapped_batches

#: target → network card, and an address of its network that no machine has: nothing answers
CARDS = {"virtio": ("eth0", "10.0.2.77"), "scatter-gather": ("eth1", "10.9.9.77")}
#: dom0's address on the card that has none yet
OWN = "10.9.9.1/24"
NOBODYS_MAC = "02:00:0a:00:02:4d"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def transmitted(card: str) -> int:
    """Return how many packets a card has transmitted since it exists."""
    return int(Path(f"/sys/class/net/{card}/statistics/tx_packets").read_text())


def main(target: str, pings: int) -> dict:
    for module in ("loop", "xen-blkback", "xen-netback"):
        run("modprobe", module)
    FORWARDING.write_text("1")
    card, nobody = CARDS.get(target, CARDS["virtio"])
    if target == "scatter-gather":
        run("ip", "address", "replace", OWN, "dev", card)
        run("ip", "link", "set", card, "up")
    run("ip", "neigh", "replace", nobody, "lladdr", NOBODYS_MAC, "dev", card, "nud", "permanent")
    before, packets = unmapped_batches(), transmitted(card)
    with ExitStack() as stack:
        disks = [make_disk(stack, bytes(BYTES))[1] for _ in range(2)]
        address = DOM0_ADDRESS if target == "dom0" else nobody
        with running_guest(*disks, pings=pings, pinged=address):
            wait_until_printed("done", 240)
            wait_until_gone(60)
    return {"transmitted": transmitted(card) - packets, **grown(before)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
