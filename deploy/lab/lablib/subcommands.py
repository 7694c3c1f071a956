"""The commands of the lab: what each does with its parsed options."""

import argparse
import json
import os
from dataclasses import asdict

from lablib import grub, places, record, remote, session
from lablib.cache import Cache
from lablib.errors import EXIT_NO_SOURCE, EXIT_USAGE, LabError
from lablib.output import print_message, report_error
from lablib.qemu import PVH_IOMMU
from lablib.source import bases
from lablib.trace import command as tracing

Namespace = argparse.Namespace


def lab_options(args: Namespace) -> session.Options:
    """Return the options of a lab.

    Args:
        args: the parsed command line.

    Raises:
        LabError: see `_check`.
    """
    _check(args)
    return session.Options(
        hypervisor=args.hypervisor,
        patches=args.patches,
        xen=args.xen,
        xen_source=args.xen_source,
        exact=args.exact,
        threads=args.threads,
        iommu=args.iommu,
        dom0=args.dom0,
        kernel=args.kernel,
        linux_source=args.linux_source,
        guest=args.guest,
        guest_pages=args.guest_pages,
        xen_args=args.xen_args,
        boot=args.boot,
        boot_timeout=args.boot_timeout,
    )


def _check(args: Namespace) -> None:
    """Reject options that have no effect or exclude each other.

    Raises:
        LabError: a source is given for a hypervisor or kernel that is not built, or a PVH dom0
            with VT-d.
    """
    if args.dom0 == "pvh" and args.iommu not in {None, PVH_IOMMU}:
        raise LabError(
            f"--dom0 pvh does not work with --iommu {args.iommu}: QEMU emulates a CPU of AMD, whose"
            " IOMMU is AMD-Vi",
            f"remove --iommu, or use --iommu {PVH_IOMMU}",
            exit_code=EXIT_USAGE,
        )
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
    options = lab_options(Namespace(**vars(args), boot=True))
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
        lab = session.up(name, lab_options(args), detached=False)
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
        lab = session.up(args.name, lab_options(args), detached=True)
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
    tracing.set_defaults(args)
    running = _running(args) if args.name else None
    options = session.Options(
        hypervisor=args.hypervisor,
        patches=args.patches,
        xen=args.xen,
        xen_source=args.xen_source,
        exact=True,
        iommu=args.iommu,
        dom0=args.dom0,
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
        words += [f"dom0={lab.dom0}"] if lab.dom0 != "pv" else []
        words += [f"kernel={lab.kernel}"] if lab.kernel != "debian" else []
        words += ["guest"] if lab.guest else []
        print(f"{', '.join(words)}; ssh on 127.0.0.1:{lab.port}; QEMU's pid is {lab.pid}")
    return 0


def down(args: Namespace) -> int:
    """Stop a lab and remove its files."""
    if not session.down(args.name):
        print_message(f"no lab named {args.name} is running")
    return 0
