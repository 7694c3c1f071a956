"""Direct reads of a guest from a disk on an NVMe controller, and TLB flushes of blkback's unmaps.

The controller writes to the guest's pages, and no CPU of dom0 accesses them.

arguments: bytes of a read, number of rounds. Prints a JSON line: the seconds of each round, the
number of reads in a round, and how many batches dom0 has unmapped with and without a flush (null on
stock); blkback unmaps almost all of them.
"""

import json
import sys
from contextlib import ExitStack

from nvme_traffic import make_partition, wait_for_disk
from traffic import BYTES, run, running_guest, wait_until_gone, wait_until_printed
from unmapped_batches import grown, unmapped_batches


def read(block: int, rounds: int) -> list[float]:
    """Run the guest; returns the seconds of each round."""
    with ExitStack() as stack:
        disks = [make_partition(stack, bytes(BYTES))[1] for _ in range(2)]
        with running_guest(*disks, rounds=rounds, block=block):
            output = wait_until_printed("done", 240)
            wait_until_gone(60)
    assert "traffic: failed" not in output, output
    lines = [line.split() for line in output.splitlines()]
    times = [words[2:] for words in lines if words[:2] == ["traffic:", "round"]]
    return [round(float(ended) - float(began), 2) for began, ended in times]


def main(block: int, rounds: int) -> dict:
    for module in ("xen-blkback", "xen-netback"):
        run("modprobe", module)
    wait_for_disk()
    before = unmapped_batches()
    seconds = read(block, rounds)
    return {"seconds": seconds, "reads": BYTES // block, **grown(before)}


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
