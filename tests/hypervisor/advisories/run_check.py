"""Runs one check on a hypervisor that may crash: LIBRARY MODULE CHECK FAST BUS ARGUMENTS.

FAST and BUS are True or False, ARGUMENTS are those of the check in JSON. Exit code: 0 if the check
passes, FAILED if one of its assertions fails, 1 if something else fails.
"""

import importlib.util
import json
import sys
import traceback
from pathlib import Path

from tests.hypervisor.binding import Machine

#: exit code if an assertion of the check fails
FAILED = 3


def main(library: str, module: str, check: str, fast: str, bus: str, arguments: str) -> int:
    spec = importlib.util.spec_from_file_location("checks", Path(__file__).parent / f"{module}.py")
    checks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checks)
    machine = Machine(Path(library), "patched")
    machine.fast = fast == "True"
    machine.bus = bus == "True"
    machine.reset()
    try:
        getattr(checks, check)(machine, **json.loads(arguments))
    except AssertionError as error:
        traceback.print_exception(error)
        frames = traceback.extract_tb(error.__traceback__)
        return FAILED if any(frame.name == check for frame in frames) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
