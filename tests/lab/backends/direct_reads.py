"""Direct reads of a guest from a disk on an NVMe controller, and TLB flushes of blkback's unmaps.

The controller writes to the guest's pages, and no CPU of dom0 accesses them.

arguments: bytes of a read, number of rounds. Prints a JSON line: the seconds of each round, the
number of reads in a round, and how many batches dom0 has unmapped with and without a flush (null on
stock); blkback unmaps almost all of them.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from nvme_traffic import make_partition, wait_for_disk
from traffic import BYTES, CONFIG, CONSOLE, HERE, NAME, run, wait_until_gone, wait_until_printed

from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.hypfs import HypFs

COUNTERS = {"flushed": "flushes", "skipped": "skipped-flushes"}


def counters() -> dict[str, int] | None:
    """Return dom0's counters of unmapped batches since it booted; None on stock."""
    with HypFs() as fs:
        try:
            return {key: int(fs.read(f"/gnttab/0/{name}")) for key, name in COUNTERS.items()}
        except XenLibraryError:
            return None


def read(block: int, rounds: int) -> list[float]:
    """Run the guest; returns the seconds of each round."""
    CONSOLE.unlink(missing_ok=True)
    CONSOLE.touch()
    with ExitStack() as stack:
        disks = [make_partition(stack, bytes(BYTES))[1] for _ in range(2)]
        config = Path("/tmp/traffic.cfg")
        values = {"name": NAME, "here": HERE, "source": disks[0], "target": disks[1]}
        text = CONFIG.format(**values, persistent=0, bytes=BYTES)
        options = f"traffic.rounds={rounds} traffic.block={block} traffic.bytes"
        config.write_text(text.replace("traffic.bytes", options))
        stack.callback(config.unlink)
        run("xl", "create", "-q", str(config))
        try:
            output = wait_until_printed("done", 240)
            wait_until_gone(60)
        finally:
            subprocess.run(["xl", "destroy", NAME], check=False, capture_output=True)
    assert "traffic: failed" not in output, output
    lines = [line.split() for line in output.splitlines()]
    times = [words[2:] for words in lines if words[:2] == ["traffic:", "round"]]
    return [round(float(ended) - float(began), 2) for began, ended in times]


def main(block: int, rounds: int) -> dict:
    for module in ("xen-blkback", "xen-netback"):
        run("modprobe", module)
    wait_for_disk()
    before = counters()
    seconds = read(block, rounds)
    after = counters()
    grown = {
        key: None if before is None or after is None else after[key] - before[key]
        for key in COUNTERS
    }
    return {"seconds": seconds, "reads": BYTES // block, **grown}


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
