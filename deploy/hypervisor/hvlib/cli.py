"""The command lines of what runs on the box."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from hvlib import commands
from hvlib.box import Box, BoxError


def _parser(name: str, about: str, example: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=name,
        description=about,
        epilog=f"example:\n  {example}\n\nexit codes: 0 done, 2 refused, nothing changed, 3 failed",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _report(name: str, work: Callable[[Box], None]) -> int:
    try:
        work(Box())
    except BoxError as error:
        print(f"{name}: {error.what}", file=sys.stderr)
        if error.remedy:
            print(f"  {error.remedy}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def install() -> int:
    """Run `install`."""
    parser = _parser(
        "install",
        "Installs the patched hypervisor beside Debian's own, and has it booted once. The boot\n"
        "after that is what it was before, whatever happens, until `confirm` is run.",
        "sudo ./install xen-hypervisor-4.20-xengt_*_amd64.deb && sudo reboot",
    )
    parser.add_argument("deb", type=Path, metavar="DEB", help="what `build` made")
    parser.add_argument(
        "--xen-args",
        default="",
        metavar="WORDS",
        help="further words for the patched hypervisor's command line, such as"
        " gnttab=no-fast-maptrack",
    )
    args = parser.parse_args()
    return _report("install", lambda box: commands.install(box, args.deb, args.xen_args))


def confirm() -> int:
    """Run `confirm`."""
    _parser(
        "confirm",
        "Makes the patched hypervisor the one that boots by default. Only when it is running.",
        "sudo ./confirm",
    ).parse_args()
    return _report("confirm", commands.confirm)


def remove() -> int:
    """Run `remove`."""
    _parser(
        "remove",
        "Takes the patched hypervisor, its menu entry and its being the default away. It may be\n"
        "running: then the next reboot is into the stock one.",
        "sudo ./remove && sudo reboot",
    ).parse_args()
    return _report("remove", commands.remove)
