"""`python3 -m xengt` and the script `xengt`: load the command and run it.

A signal ends the process at once until the command begins, because there is nothing to clean up.
"""

import signal
import sys

from xengt.errors import Exit


def main() -> None:
    """Run the `xengt` command."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from xengt.cli import main as run_command  # noqa: PLC0415 (this may take a second)
    except ImportError as error:
        print(f"xengt: cannot be loaded: {error}", file=sys.stderr)
        print("  install xengt again, with what it depends on", file=sys.stderr)
        sys.exit(Exit.FAILED)
    run_command()


if __name__ == "__main__":
    main()
