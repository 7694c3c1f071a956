"""Large packets of a guest through netback: to a network card, or to dom0 itself.

arguments: the target and the number of pings, each a packet of 65,028 bytes in 44 fragments. The
target is `dom0`, whose CPU reads the packets; `routed`, the virtio card, to which dom0 routes them:
Linux copies packets before it routes them; or `bridged`, a card with scatter-gather on a bridge
with the guest's interface, which reads the packets from the guest's pages. Prints a JSON line: the
packets that the card has transmitted, and how many batches dom0 has unmapped with and without a
flush (null on stock); netback unmaps almost all of them.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
CARDS = {"routed": ("eth0", "10.0.2.77"), "bridged": ("eth1", "10.77.0.77")}
NOBODYS_MAC = "02:00:0a:00:02:4d"
#: the script `vif` adds the guest's interface to it
BRIDGE = "xenbr0"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@contextmanager
def bridge(card: str) -> Iterator[None]:
    """A bridge with a card and dom0's address of the guest's network."""
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    try:
        run("ip", "address", "add", f"{DOM0_ADDRESS}/24", "dev", BRIDGE)
        run("ip", "link", "set", card, "master", BRIDGE)
        for each in (card, BRIDGE):
            run("ip", "link", "set", each, "up")
        yield
    finally:
        run("ip", "link", "delete", BRIDGE)


def transmitted(card: str) -> int:
    """Return how many packets a card has transmitted since it exists."""
    return int(Path(f"/sys/class/net/{card}/statistics/tx_packets").read_text())


def main(target: str, pings: int) -> dict:
    for module in ("loop", "bridge", "xen-blkback", "xen-netback"):
        run("modprobe", module)
    FORWARDING.write_text("1")
    card, nobody = CARDS.get(target, CARDS["routed"])
    options: dict[str, object] = {"pings": pings, "pinged": nobody}
    with ExitStack() as stack:
        if target == "bridged":
            stack.enter_context(bridge(card))
            options["pinged_mac"] = NOBODYS_MAC
        elif target == "routed":
            neighbour = (nobody, "lladdr", NOBODYS_MAC, "dev", card, "nud", "permanent")
            run("ip", "neigh", "replace", *neighbour)
        else:
            options["pinged"] = DOM0_ADDRESS
        before, packets = unmapped_batches(), transmitted(card)
        disks = [make_disk(stack, bytes(BYTES))[1] for _ in range(2)]
        with running_guest(*disks, **options):
            wait_until_printed("done", 240)
            wait_until_gone(60)
        return {"transmitted": transmitted(card) - packets, **grown(before)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
