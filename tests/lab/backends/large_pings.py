"""Large packets of a guest through netback: to a network card, or to dom0 itself.

dom0 forwards packets to the card; a card with scatter-gather reads them from the guest's pages, for
others Linux copies them. dom0's CPU reads the packets that are for dom0. arguments: `card` or
`dom0`, and the number of pings, each a packet of 65,028 bytes in 44 fragments. Prints a JSON line:
the packets that the card has transmitted, and how many batches dom0 has unmapped with and without a
flush (null on stock); netback unmaps almost all of them.
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

CARD = "eth0"
#: an address of the card's network that no machine has: nothing answers
NOBODY = "10.0.2.77"
NOBODYS_MAC = "02:00:0a:00:02:4d"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def transmitted() -> int:
    """Return how many packets the card has transmitted since it exists."""
    return int(Path(f"/sys/class/net/{CARD}/statistics/tx_packets").read_text())


def main(target: str, pings: int) -> dict:
    for module in ("loop", "xen-blkback", "xen-netback"):
        run("modprobe", module)
    FORWARDING.write_text("1")
    run("ip", "neigh", "replace", NOBODY, "lladdr", NOBODYS_MAC, "dev", CARD, "nud", "permanent")
    before, packets = unmapped_batches(), transmitted()
    with ExitStack() as stack:
        disks = [make_disk(stack, bytes(BYTES))[1] for _ in range(2)]
        address = {"card": NOBODY, "dom0": DOM0_ADDRESS}[target]
        with running_guest(*disks, pings=pings, pinged=address):
            wait_until_printed("done", 240)
            wait_until_gone(60)
    return {"transmitted": transmitted() - packets, **grown(before)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
