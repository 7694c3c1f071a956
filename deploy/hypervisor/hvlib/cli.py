"""Command lines of install, confirm and remove."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from hvlib import commands
from hvlib.box import Box, BoxError


def _parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=f"example:\n  {example}\n\n"
        "exit codes: 0 done; 2 usage error or refusal, nothing changed; 3 failed",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _run(name: str, command: Callable[[Box], None]) -> int:
    """Run a command on the local machine, print its error if any, and return the exit code."""
    try:
        command(Box())
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
        "Installs the patched hypervisor beside Debian's and selects it for the next boot only.\n"
        "Later boots start the previous default again, even after a failed boot, until `confirm`\n"
        "is run.",
        "sudo ./install xen-hypervisor-4.20-xengt_*_amd64.deb && sudo reboot",
    )
    parser.add_argument("deb", type=Path, metavar="DEB", help="package built by `build`")
    parser.add_argument(
        "--xen-args",
        default="",
        metavar="ARGS",
        help="additional arguments for the patched hypervisor's command line, such as"
        " gnttab=no-fast-maptrack",
    )
    args = parser.parse_args()
    return _run("install", lambda box: commands.install(box, args.deb, args.xen_args))


def confirm() -> int:
    """Run `confirm`."""
    _parser(
        "confirm",
        "Makes the patched hypervisor the default boot entry. It must be the running hypervisor.",
        "sudo ./confirm",
    ).parse_args()
    return _run("confirm", commands.confirm)


def remove() -> int:
    """Run `remove`."""
    _parser(
        "remove",
        "Removes the patched hypervisor and its menu entry and restores the previous default.\n"
        "It may be running: the next reboot then starts the stock hypervisor.",
        "sudo ./remove && sudo reboot",
    ).parse_args()
    return _run("remove", commands.remove)
