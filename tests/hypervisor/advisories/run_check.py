"""One check alone, on a hypervisor that may die of it: LIBRARY MODULE CHECK FAST BUS."""

import importlib.util
import sys
import traceback
from pathlib import Path

from tests.hypervisor.binding import Machine

#: of a check that fails as it should
FAILED = 3


def main(library: str, module: str, check: str, fast: str, bus: str) -> int:
    spec = importlib.util.spec_from_file_location("checks", Path(__file__).parent / f"{module}.py")
    checks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checks)
    machine = Machine(Path(library), "patched")
    machine.fast = fast == "True"
    machine.bus = bus == "True"
    machine.reset()
    try:
        getattr(checks, check)(machine)
    except AssertionError as failed:
        traceback.print_exception(failed)
        where = traceback.extract_tb(failed.__traceback__)
        return FAILED if any(frame.name == check for frame in where) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
