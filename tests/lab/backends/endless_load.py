"""Runs a guest that reads and writes its disks without persistent grants, until SIGTERM.

Prints `running` once the guest has started to do so.
"""

import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from traffic import BYTES, CONFIG, CONSOLE, HERE, NAME, make_disk, run


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    for module in ("loop", "xen-blkback", "xen-netback"):
        run("modprobe", module)
    CONSOLE.unlink(missing_ok=True)
    CONSOLE.touch()
    with ExitStack() as stack:
        disks = [make_disk(stack, bytes(BYTES))[1] for _ in range(2)]
        config = Path("/tmp/traffic.cfg")
        values = {"name": NAME, "here": HERE, "source": disks[0], "target": disks[1]}
        text = CONFIG.format(**values, persistent=0, bytes=BYTES)
        config.write_text(text.replace("traffic.bytes", "traffic.endless=1 traffic.bytes"))
        stack.callback(config.unlink)
        run("xl", "create", "-q", str(config))
        stack.callback(subprocess.run, ["xl", "destroy", NAME], check=False, capture_output=True)
        while "traffic: endless" not in (output := CONSOLE.read_text(errors="replace")):
            assert "no disks" not in output, output
            time.sleep(0.5)
        print("running", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
