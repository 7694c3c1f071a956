"""The command line of the lab."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from lablib import grub, places, record, remote, session
from lablib.artifacts.hypervisor import VARIANTS
from lablib.artifacts.kernel import KERNELS
from lablib.cache import Cache
from lablib.errors import EXIT_NO_SOURCE, EXIT_USAGE, LabError
from lablib.output import print_message, report_error
from lablib.qemu import IOMMUS
from lablib.source import bases
from lablib.trace import command as tracing

EXAMPLES = """examples:
  lab run -- xl list                       start a lab, run a command in dom0, remove the lab
  lab run --exact --guest -- xengt bench --granter guest
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
        help="hypervisor image to boot instead of a built one; it may be compressed with gzip",
    )
    parser.add_argument(
        "--xen-source",
        type=Path,
        metavar="PATH",
        help="build the hypervisor from this source directory or tarball instead of Debian's"
        " source",
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


def _options(args: Namespace) -> session.Options:
    _check(args)
    return session.Options(
        hypervisor=args.hypervisor,
        patches=args.patches,
        xen=args.xen,
        xen_source=args.xen_source,
        exact=args.exact,
        threads=args.threads,
        iommu=args.iommu,
        kernel=args.kernel,
        linux_source=args.linux_source,
        guest=args.guest,
        guest_pages=args.guest_pages,
        xen_args=args.xen_args,
        boot=args.boot,
        boot_timeout=args.boot_timeout,
    )


def _check(args: Namespace) -> None:
    """Reject options that have no effect.

    Raises:
        LabError: a source is given for a hypervisor or kernel that is not built.
    """
    if args.xen_source and (args.xen or args.hypervisor == "debian"):
        raise LabError(
            "--xen-source has no effect on a hypervisor that is not built",
            "remove --xen FILE or --hypervisor debian, or remove --xen-source",
            exit_code=EXIT_USAGE,
        )
    if getattr(args, "linux_source", None) and args.kernel != "patched":
        raise LabError(
            "--linux-source has no effect on Debian's kernel",
            "add --kernel patched, or remove --linux-source",
            exit_code=EXIT_USAGE,
        )


def _words(args: Namespace) -> list[str]:
    words: list[str] = args.command
    return words[1:] if words[:1] == ["--"] else words


def _running(args: Namespace) -> record.Record:
    found = record.load(args.name)
    if found is None:
        raise LabError(
            f"no lab named {args.name} is running",
            f"start it with `lab up --name {args.name}`; `lab status` lists the running labs",
            exit_code=EXIT_USAGE,
        )
    return found


def build(args: Namespace) -> int:
    """Build the image and the hypervisor of a lab without starting it."""
    cache = Cache(places.cache_root())
    options = _options(Namespace(**vars(args), boot=True))
    if args.prune:
        cache.prune_all()
    disk, xen = session.build(cache, options)
    print(json.dumps({"image": str(disk), "xen": str(xen)}) if args.json else f"{disk}\n{xen}")
    return 0


def source(args: Namespace) -> int:
    """Download the source of Xen; print its version and its directory."""
    try:
        found = bases.base(Cache(places.cache_root()), bases.XEN, args.xen_source)
    except bases.NoSourceError as error:
        report_error(error)
        return EXIT_NO_SOURCE
    directory = found.directory / "xen"
    document = {"version": found.version, "directory": str(directory)}
    print(json.dumps(document) if args.json else f"{found.version}\n{directory}")
    return 0


def run(args: Namespace) -> int:
    """Start a lab, run a command in dom0, and remove the lab."""
    words = _words(args)
    if not words:
        raise LabError(
            "`lab run` needs a command to run in dom0",
            "add one: lab run -- COMMAND",
            exit_code=EXIT_USAGE,
        )
    name = f"run-{os.getpid()}"
    try:
        lab = session.up(name, _options(args), detached=False)
        if args.put:
            remote.put(lab, args.put)
        status = remote.execute(lab, words, args.timeout)
        if args.get:
            _get_after(lab, args, status)
    finally:
        session.down(name)
    return status


def _get_after(lab: record.Record, args: Namespace, status: int) -> None:
    """Copy the results out of dom0; if the command failed, missing results are only reported."""
    try:
        remote.get(lab, args.get, args.to)
    except LabError as error:
        if status == 0:
            raise
        print_message(error.what)


def up(args: Namespace) -> int:
    """Start a lab that runs until `lab down`."""
    if args.grub:
        lab = grub.up(args.name, args.boot_timeout)
    else:
        lab = session.up(args.name, _options(args), detached=True)
    print_message(
        f"{lab.name} is running; open a shell with `lab ssh --name {lab.name}`;"
        f" the console log is {lab.console}"
    )
    return 0


def reboot(args: Namespace) -> int:
    """Reboot a lab that was started with --grub through its own boot loader."""
    grub.reboot(_running(args), args.boot_timeout)
    return 0


def ssh(args: Namespace) -> int:
    """Run a command in dom0 of a running lab, or open a shell in it."""
    return remote.execute(_running(args), _words(args), args.timeout)


def put(args: Namespace) -> int:
    """Copy files and directories into dom0 of a running lab."""
    remote.put(_running(args), args.files, args.to)
    return 0


def get(args: Namespace) -> int:
    """Copy files and directories out of dom0 of a running lab."""
    remote.get(_running(args), args.files, args.to)
    return 0


def trace(args: Namespace) -> int:
    """Count the instructions of a grant operation in Xen by function, with its locks and fences."""
    _check(args)
    running = _running(args) if args.name else None
    options = session.Options(
        hypervisor=args.hypervisor,
        patches=args.patches,
        xen=args.xen,
        xen_source=args.xen_source,
        exact=True,
        iommu=args.iommu,
        guest=args.granter == "guest",
        xen_args=args.xen_args,
        boot_timeout=args.boot_timeout,
    )
    return tracing.run(args, options, running)


def status(args: Namespace) -> int:
    """List the running labs."""
    labs = record.running_labs()
    if args.json:
        print(json.dumps([{**asdict(lab), "console": str(lab.console)} for lab in labs], indent=1))
    for lab in [] if args.json else labs:
        words = [lab.name, lab.hypervisor, "exact" if lab.exact else "wall clock"]
        words += [f"iommu={lab.iommu}"] if lab.iommu else []
        words += [f"kernel={lab.kernel}"] if lab.kernel != "debian" else []
        words += ["guest"] if lab.guest else []
        print(f"{', '.join(words)}; ssh on 127.0.0.1:{lab.port}; QEMU's pid is {lab.pid}")
    return 0


def down(args: Namespace) -> int:
    """Stop a lab and remove its files."""
    if not session.down(args.name):
        print_message(f"no lab named {args.name} is running")
    return 0


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
    _machine_options(sub)
    sub.add_argument(
        "--prune",
        action="store_true",
        help="first remove old cache entries, and select the versions of the sources again",
    )
    sub.add_argument("--json", action="store_true", help="print the paths as a JSON document")

    sub = command(source, "lab source --json")
    sub.description = (
        f"{sub.description} The exit code is {EXIT_NO_SOURCE} if no archive has a version that the"
        " patch series applies to."
    )
    sub.add_argument(
        "--xen-source",
        type=Path,
        metavar="PATH",
        help="use this source directory or tarball instead of Debian's source",
    )
    sub.add_argument(
        "--json", action="store_true", help="print version and directory as a JSON document"
    )

    sub = command(run, "lab run --guest -- xengt check")
    sub.description = (
        f"{sub.description} Output appears while the command runs, and `lab run` exits with its"
        " exit code."
    )
    _start_options(sub)
    sub.add_argument(
        "--put",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help=f"file or directory to copy to {remote.HOME} of dom0 before the command runs;"
        " may be repeated",
    )
    sub.add_argument(
        "--get",
        action="append",
        default=[],
        metavar="FILE",
        help="file or directory to copy out of dom0 after the command, relative to"
        f" {remote.HOME}; may be repeated",
    )
    sub.add_argument(
        "--to",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="directory for the files of --get (default: the current directory)",
    )
    _command_options(sub)

    sub = command(up, "lab up --exact --guest --name exact")
    named(sub)
    _start_options(sub)
    sub.add_argument(
        "--grub",
        action="store_true",
        help="boot Debian's Xen through GRUB on one vCPU and keep the disk across `lab reboot`,"
        " until `lab down`; of the other options only --boot-timeout applies",
    )

    sub = command(reboot, "lab up --grub && lab reboot")
    named(sub)
    _timeout_option(sub)

    sub = command(ssh, "lab ssh -- xl list")
    named(sub)
    _command_options(sub, "; without a command, a login shell")

    sub = command(put, "lab put tests --to /root/tree")
    named(sub)
    sub.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="file or directory to copy"
    )
    sub.add_argument(
        "--to",
        default=remote.HOME,
        metavar="DIR",
        help=f"target directory in dom0, made if missing (default: {remote.HOME})",
    )

    sub = command(get, "lab get bench.json --to results")
    named(sub)
    sub.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help=f"file or directory in dom0 to copy, relative to {remote.HOME}",
    )
    sub.add_argument(
        "--to",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="target directory on this machine, made if missing (default: the current directory)",
    )

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
