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
from lablib.qemu import IOMMUS
from lablib.source import bases
from lablib.trace import command as tracing
from lablib.work import say, tell

EXAMPLES = """examples:
  lab run -- xl list                        boot, run one command, leave nothing
  lab run --exact --guest -- xengt bench --granter guest
  lab run --put check.py -- python3 check.py
  lab run 'xl info | grep xen_version'      one word is a line for dom0's shell
  lab up && lab ssh -- xengt check && lab down

environment:
  XENGT_MIRROR, XENGT_SECURITY_MIRROR   URIs of Debian archives, instead of this machine's own
  XDG_CACHE_HOME                        what is built is kept in xengt/ below it (~/.cache)
"""

Namespace = argparse.Namespace


def _machine_options(parser: argparse.ArgumentParser) -> None:
    _hypervisor_options(parser)
    parser.add_argument(
        "--kernel", choices=KERNELS, default="debian", help="of dom0: patched is built (debian)"
    )
    parser.add_argument(
        "--linux-source",
        type=Path,
        metavar="PATH",
        help="build the patched kernel from this directory or tarball, not from Debian's source",
    )
    cpus = parser.add_mutually_exclusive_group()
    cpus.add_argument(
        "--exact",
        action="store_true",
        help="one vCPU, and a clock that counts instructions: 1 ns is one",
    )
    cpus.add_argument(
        "--threads",
        choices=["single", "multi"],
        default="single",
        help="of the host, for two vCPUs: one by turns, or one each, on a quiet host (single)",
    )
    parser.add_argument(
        "--guest",
        action="store_true",
        help="start a PV guest named 'guest' that shares pages with dom0",
    )
    parser.add_argument(
        "--guest-pages", type=int, default=256, metavar="N", help="how many it shares (256)"
    )


def _start_options(parser: argparse.ArgumentParser) -> None:
    _machine_options(parser)
    parser.add_argument(
        "--boot",
        action="store_true",
        help="boot even if this lab has been saved, and do not save it: for samples of boots",
    )


def _hypervisor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hypervisor",
        choices=VARIANTS,
        default="stock",
        help="stock, patched: built here from one source; the debug ones check their assertions;"
        " debian: the binary of Debian's package (stock)",
    )
    parser.add_argument(
        "--patches", type=int, metavar="N", help="build the patched one with the first N patches"
    )
    parser.add_argument(
        "--xen", type=Path, metavar="FILE", help="boot this hypervisor image instead"
    )
    parser.add_argument(
        "--xen-source",
        type=Path,
        metavar="PATH",
        help="build from this directory or tarball of Xen's source, not from Debian's",
    )
    parser.add_argument(
        "--iommu", choices=IOMMUS, help="give dom0 an IOMMU in strict mode, VT-d or AMD-Vi"
    )
    parser.add_argument(
        "--xen-args", default="", metavar="WORDS", help="further words for Xen's command line"
    )
    _timeout_option(parser)


def _timeout_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--boot-timeout",
        type=float,
        default=1200.0,
        metavar="S",
        help="seconds dom0 may take to start (1200)",
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
    """Refuse options that would have no effect."""
    if args.xen_source and (args.xen or args.hypervisor == "debian"):
        raise LabError(
            "--xen-source is for a hypervisor that is built",
            "leave out --xen FILE or --hypervisor debian",
            exit_code=EXIT_USAGE,
        )
    if getattr(args, "linux_source", None) and args.kernel != "patched":
        raise LabError(
            "--linux-source is for a kernel that is built",
            "add --kernel patched",
            exit_code=EXIT_USAGE,
        )


def _words(args: Namespace) -> list[str]:
    words: list[str] = args.command
    return words[1:] if words[:1] == ["--"] else words


def _running(args: Namespace) -> record.Record:
    found = record.load(args.name)
    if found is None:
        raise LabError(f"no lab named {args.name} is up", "start one: lab up", exit_code=EXIT_USAGE)
    return found


def build(args: Namespace) -> int:
    """Build what is not in the cache, and boot nothing."""
    cache = Cache(places.cache_root())
    options = _options(Namespace(**vars(args), boot=True))
    if args.prune:
        cache.prune_all()
    disk, xen = session.build(cache, options)
    print(json.dumps({"image": str(disk), "xen": str(xen)}) if args.json else f"{disk}\n{xen}")
    return 0


def source(args: Namespace) -> int:
    """Download the source that hypervisors are built from; print its version and directory."""
    try:
        found = bases.base(Cache(places.cache_root()), bases.XEN, args.xen_source)
    except bases.NoSourceError as error:
        tell(error)
        return EXIT_NO_SOURCE
    directory = found.directory / "xen"
    document = {"version": found.version, "directory": str(directory)}
    print(json.dumps(document) if args.json else f"{found.version}\n{directory}")
    return 0


def run(args: Namespace) -> int:
    """Boot, run a command in dom0, print its output as it comes, exit with its exit code."""
    words = _words(args)
    if not words:
        raise LabError("no command to run", "lab run -- COMMAND", exit_code=EXIT_USAGE)
    name = f"run-{os.getpid()}"
    try:
        lab = session.up(name, _options(args), stays=False)
        if args.put:
            remote.put(lab, args.put)
        status = remote.execute(lab, words, args.timeout)
        if args.get:
            _get_after(lab, args, status)
    finally:
        session.down(name)
    return status


def _get_after(lab: record.Record, args: Namespace, status: int) -> None:
    """Fetch what the command made; a command that failed need not have made it."""
    try:
        remote.get(lab, args.get, args.to)
    except LabError as error:
        if status == 0:
            raise
        say(error.what)


def up(args: Namespace) -> int:
    """Boot a lab that stays."""
    if args.grub:
        lab = grub.up(args.name, args.boot_timeout)
    else:
        lab = session.up(args.name, _options(args), stays=True)
    say(f"{lab.name} is up: lab ssh --name {lab.name}; its console is {lab.console}")
    return 0


def reboot(args: Namespace) -> int:
    """Restart a lab that was started with --grub, into what its own boot loader chooses."""
    grub.reboot(_running(args), args.boot_timeout)
    return 0


def ssh(args: Namespace) -> int:
    """Run a command in a lab's dom0, or open a shell there."""
    return remote.execute(_running(args), _words(args), args.timeout)


def put(args: Namespace) -> int:
    """Copy files and directories into dom0."""
    remote.put(_running(args), args.files, args.to)
    return 0


def get(args: Namespace) -> int:
    """Copy files and directories out of dom0."""
    remote.get(_running(args), args.files, args.to)
    return 0


def trace(args: Namespace) -> int:
    """Count, function by function, the instructions a grant operation executes in Xen."""
    _check(args)
    running = _running(args) if args.name else None
    chosen = session.Options(
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
    return tracing.run(args, chosen, running)


def status(args: Namespace) -> int:
    """List the labs that are up."""
    labs = record.everyone()
    if args.json:
        print(json.dumps([{**asdict(lab), "console": str(lab.console)} for lab in labs], indent=1))
    for lab in [] if args.json else labs:
        words = [lab.name, lab.hypervisor, "exact" if lab.exact else "wall clock"]
        words += [f"iommu={lab.iommu}"] if lab.iommu else []
        words += [f"kernel={lab.kernel}"] if lab.kernel != "debian" else []
        words += ["guest"] if lab.guest else []
        print(f"{', '.join(words)}; ssh on 127.0.0.1:{lab.port}; QEMU is {lab.pid}")
    return 0


def down(args: Namespace) -> int:
    """End a lab; it leaves nothing."""
    if not session.down(args.name):
        say(f"no lab named {args.name} was up")
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the whole command line."""
    top = argparse.ArgumentParser(
        prog="lab",
        description="A real Xen with a real dom0 under QEMU, on a machine that has neither.",
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
        sub.add_argument("--name", default="lab", help="which lab, when several are up (lab)")

    sub = command(build, "lab build --hypervisor stock")
    _machine_options(sub)
    sub.add_argument(
        "--prune",
        action="store_true",
        help="first drop all but the newest of each kind, and choose the versions of sources anew",
    )
    sub.add_argument("--json", action="store_true", help="print the paths as JSON")

    sub = command(source, "lab source --json")
    sub.description = f"{sub.description} Exits with {EXIT_NO_SOURCE} if no archive has one."
    sub.add_argument(
        "--xen-source", type=Path, metavar="PATH", help="copy this directory or tarball instead"
    )
    sub.add_argument("--json", action="store_true", help="print both as JSON")

    sub = command(run, "lab run --guest -- xengt check")
    _start_options(sub)
    sub.add_argument(
        "--put", type=Path, action="append", default=[], metavar="FILE", help="copy to /root first"
    )
    sub.add_argument(
        "--get", action="append", default=[], metavar="FILE", help="copy from dom0 afterwards"
    )
    sub.add_argument(
        "--to", type=Path, default=Path(), metavar="DIR", help="where --get puts it (here)"
    )
    sub.add_argument("--timeout", type=float, metavar="S", help="seconds the command may take")
    sub.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")

    sub = command(up, "lab up --exact --guest --name exact")
    named(sub)
    _start_options(sub)
    sub.add_argument(
        "--grub",
        action="store_true",
        help="a box with one vCPU that boots Debian's own Xen through GRUB, and keeps what is"
        " written to its disk until `lab down`; no other option but --boot-timeout applies",
    )

    sub = command(reboot, "lab up --grub && lab reboot")
    named(sub)
    _timeout_option(sub)

    sub = command(ssh, "lab ssh -- xl list")
    named(sub)
    sub.add_argument("--timeout", type=float, metavar="S", help="seconds the command may take")
    sub.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")

    sub = command(put, "lab put tests --to /root/tree")
    named(sub)
    sub.add_argument("files", nargs="+", type=Path, metavar="FILE")
    sub.add_argument("--to", default=remote.HOME, metavar="DIR", help="directory in dom0 (/root)")

    sub = command(get, "lab get bench.json --to results")
    named(sub)
    sub.add_argument("files", nargs="+", metavar="FILE")
    sub.add_argument("--to", type=Path, default=Path(), metavar="DIR", help="directory here (.)")

    sub = command(trace, "lab trace --batch 32 --by source")
    _hypervisor_options(sub)
    tracing.add_options(sub)

    sub = command(status, "lab status --json")
    sub.add_argument("--json", action="store_true", help="print the labs as JSON")

    named(command(down, "lab down"))
    return top


def main() -> int:
    """Run one command and turn failures into words and an exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda signum, _frame: sys.exit(128 + signum))
    args = parser().parse_args()
    try:
        return int(args.function(args))
    except LabError as error:
        return tell(error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
