"""Runs a guest that reads and writes its disks without persistent grants, until SIGTERM.

Prints `running` once the guest has started to do so.
"""

import signal
import sys
import time
from contextlib import ExitStack

from traffic import BYTES, CONSOLE, make_disk, run, running_guest


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    for module in ("loop", "xen-blkback", "xen-netback"):
        run("modprobe", module)
    with ExitStack() as stack:
        disks = [make_disk(stack, bytes(BYTES))[1] for _ in range(2)]
        stack.enter_context(running_guest(*disks, endless=1))
        while "traffic: endless" not in (output := CONSOLE.read_text(errors="replace")):
            assert "no disks" not in output, output
            time.sleep(0.5)
        print("running", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
