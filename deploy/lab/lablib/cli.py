"""The command line of the lab: its commands, their options and their help."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from lablib import remote
from lablib.artifacts.hypervisor import VARIANTS
from lablib.artifacts.kernel import KERNELS
from lablib.errors import EXIT_NO_SOURCE, LabError
from lablib.output import report_error
from lablib.qemu import DOM0_KINDS, IOMMUS
from lablib.subcommands import (
    build,
    down,
    get,
    put,
    reboot,
    run,
    source,
    ssh,
    status,
    trace,
    up,
)
from lablib.trace import command as tracing

EXAMPLES = """examples:
  lab run -- xl list                       start a lab, run a command in dom0, remove the lab
  lab run --exact --guest -- xengt bench --granter guest
  lab run --dom0 pvh --exact -- xengt bench --engine gntdev
  lab run --xen /boot/xen-4.17-amd64.gz --exact -- xengt bench --granter self
  lab run --put check.py -- python3 check.py
  lab run 'xl info | grep xen_version'     a single argument is a command line for dom0's shell
  lab up && lab ssh -- xengt check && lab down

environment:
  XENGT_MIRROR           URI of the Debian archive to use instead of the one in apt's configuration
  XENGT_SECURITY_MIRROR  URI of the Debian security archive, with XENGT_MIRROR
  XDG_CACHE_HOME         directory whose subdirectory xengt/ is the cache (default: ~/.cache)

exit codes:
  0 success, 2 usage error or missing prerequisite, 3 failure, 4 `lab source` found no source;
  `lab run` and `lab ssh` exit with the exit code of the command in dom0
"""

Namespace = argparse.Namespace


def _machine_options(parser: argparse.ArgumentParser) -> None:
    _hypervisor_options(parser)
    parser.add_argument(
        "--kernel",
        choices=KERNELS,
        default="debian",
        help="dom0's kernel: Debian's package, or Debian's source built with this tree's patches"
        " for Linux (default: debian)",
    )
    parser.add_argument(
        "--linux-source",
        type=Path,
        metavar="PATH",
        help="build the patched kernel from this source directory or tarball instead of Debian's"
        " source",
    )
    cpus = parser.add_mutually_exclusive_group()
    cpus.add_argument(
        "--exact",
        action="store_true",
        help="one vCPU whose clock advances by 1 ns per executed instruction: durations are"
        " instruction counts",
    )
    cpus.add_argument(
        "--threads",
        choices=["single", "multi"],
        default="single",
        help="host threads that run the two vCPUs: one thread for both, or one thread each, which"
        " needs two idle CPUs (default: single)",
    )
    parser.add_argument(
        "--guest",
        action="store_true",
        help="start a PV guest named 'guest' that grants pages to dom0",
    )
    parser.add_argument(
        "--guest-pages",
        type=int,
        default=256,
        metavar="N",
        help="number of pages that the guest grants (default: 256)",
    )


def _start_options(parser: argparse.ArgumentParser) -> None:
    _machine_options(parser)
    parser.add_argument(
        "--boot",
        action="store_true",
        help="boot instead of resuming a snapshot, and save no snapshot: for measurements over"
        " several boots",
    )


def _hypervisor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hypervisor",
        choices=VARIANTS,
        default="stock",
        help="stock and patched are built from the same source, the -debug variants with Xen's"
        " assertions; debian is the binary of Debian's package (default: stock)",
    )
    parser.add_argument(
        "--patches",
        type=int,
        metavar="N",
        help="number of patches of the series to apply to the patched hypervisor (default: all)",
    )
    parser.add_argument(
        "--xen",
        type=Path,
        metavar="FILE",
        help="hypervisor image to boot instead of a built one; it may be compressed with gzip. With"
        " another version than dom0's toolstack, there are neither xl nor guests",
    )
    parser.add_argument(
        "--xen-source",
        type=Path,
        metavar="PATH",
        help="build the hypervisor from this source directory or tarball instead of Debian's"
        " source",
    )
    parser.add_argument(
        "--dom0",
        choices=DOM0_KINDS,
        default="pv",
        help="kind of dom0; pvh adds AMD-Vi in strict mode, as --iommu strict-amd does"
        " (default: pv)",
    )
    parser.add_argument(
        "--iommu",
        choices=IOMMUS,
        help="IOMMU with dom0 in strict mode: VT-d (strict) or AMD-Vi (strict-amd)"
        " (default: no IOMMU)",
    )
    parser.add_argument(
        "--xen-args",
        default="",
        metavar="OPTIONS",
        help="options to append to Xen's command line, as one argument",
    )
    _timeout_option(parser)


def _timeout_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--boot-timeout",
        type=float,
        default=1200.0,
        metavar="S",
        help="seconds until a boot fails because dom0 is not ready (default: 1200)",
    )


def _command_options(parser: argparse.ArgumentParser, more: str = "") -> None:
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help="seconds until the command counts as failed (default: unlimited)",
    )
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND",
        help=f"program with its arguments, or one argument that dom0's shell interprets{more}",
    )


def _build_options(parser: argparse.ArgumentParser) -> None:
    _machine_options(parser)
    parser.add_argument(
        "--prune",
        action="store_true",
        help="first remove old cache entries, and select the versions of the sources again",
    )
    parser.add_argument("--json", action="store_true", help="print the paths as a JSON document")


def _source_options(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        f"{parser.description} The exit code is {EXIT_NO_SOURCE} if no archive has a version that"
        " the patch series applies to."
    )
    parser.add_argument(
        "--xen-source",
        type=Path,
        metavar="PATH",
        help="use this source directory or tarball instead of Debian's source",
    )
    parser.add_argument(
        "--json", action="store_true", help="print version and directory as a JSON document"
    )


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        f"{parser.description} Output appears while the command runs, and `lab run` exits with its"
        " exit code."
    )
    _start_options(parser)
    parser.add_argument(
        "--put",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help=f"file or directory to copy to {remote.HOME} of dom0 before the command runs;"
        " may be repeated",
    )
    parser.add_argument(
        "--get",
        action="append",
        default=[],
        metavar="FILE",
        help="file or directory to copy out of dom0 after the command, relative to"
        f" {remote.HOME}; may be repeated",
    )
    parser.add_argument(
        "--to",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="directory for the files of --get (default: the current directory)",
    )
    _command_options(parser)


def _up_options(parser: argparse.ArgumentParser) -> None:
    _start_options(parser)
    parser.add_argument(
        "--grub",
        action="store_true",
        help="boot Debian's Xen through GRUB on one vCPU and keep the disk across `lab reboot`,"
        " until `lab down`; of the other options only --boot-timeout applies",
    )


def _put_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="file or directory to copy"
    )
    parser.add_argument(
        "--to",
        default=remote.HOME,
        metavar="DIR",
        help=f"target directory in dom0, made if missing (default: {remote.HOME})",
    )


def _get_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help=f"file or directory in dom0 to copy, relative to {remote.HOME}",
    )
    parser.add_argument(
        "--to",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="target directory on this machine, made if missing (default: the current directory)",
    )


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="lab",
        description="Starts Xen with dom0 and a guest under QEMU and runs commands in dom0."
        " Needs neither\nKVM nor Xen on this machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(function: Callable[[Namespace], int], example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            function.__name__,
            help=(function.__doc__ or "").rstrip("."),
            description=function.__doc__,
            epilog=f"example: {example}",
        )
        sub.set_defaults(function=function)
        return sub

    def named(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--name", default="lab", help="name of the lab (default: lab)")

    sub = command(build, "lab build --hypervisor stock")
    _build_options(sub)

    sub = command(source, "lab source --json")
    _source_options(sub)

    sub = command(run, "lab run --guest -- xengt check")
    _run_options(sub)

    sub = command(up, "lab up --exact --guest --name exact")
    named(sub)
    _up_options(sub)

    sub = command(reboot, "lab up --grub && lab reboot")
    named(sub)
    _timeout_option(sub)

    sub = command(ssh, "lab ssh -- xl list")
    named(sub)
    _command_options(sub, "; without a command, a login shell")

    sub = command(put, "lab put tests --to /root/tree")
    named(sub)
    _put_options(sub)

    sub = command(get, "lab get bench.json --to results")
    named(sub)
    _get_options(sub)

    sub = command(trace, "lab trace --batch 32 --by source")
    _hypervisor_options(sub)
    tracing.add_options(sub)

    sub = command(status, "lab status --json")
    sub.add_argument("--json", action="store_true", help="print the labs as a JSON document")

    named(command(down, "lab down"))
    return top


def main() -> int:
    """Run one command; report a failure and return the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda signum, _frame: sys.exit(128 + signum))
    args = parser().parse_args()
    try:
        return int(args.function(args))
    except LabError as error:
        return report_error(error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
