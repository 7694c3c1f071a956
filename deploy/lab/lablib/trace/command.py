"""`lab trace`: record the instructions of grant operations on a given hypervisor."""

import argparse
import json
import os
import select
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lablib import places, remote, session
from lablib.artifacts import hypervisor, mapper
from lablib.cache import Cache
from lablib.errors import EXIT_USAGE, LabError
from lablib.monitor import Monitor
from lablib.output import step
from lablib.record import Record
from lablib.trace import capture, report
from lablib.trace.analyse import ENTRY, analyse
from lablib.trace.code import Code

START_TIMEOUT = 1500.0
"""Seconds until the first operation of the load."""
RECORD_TIMEOUT = 1500.0
"""Seconds until the hypercalls have been recorded."""
EXIT_TIMEOUT = 10.0
"""Seconds until ssh has ended after the end of its output."""
END_TIMEOUT = 300.0
"""Seconds until the load has unmapped everything."""
ENGINES = {"pv": "hypercall", "pvh": "gntdev"}
"""Kind of dom0 → the engine that dom0 uses by default."""
DOM0 = "dom0"
MAPPERS = (DOM0, "pv", "pvh")
"""The values of --mapper: dom0, or a guest of a kind."""
MAX_MAPPER_BATCH = 128
"""Operations per hypercall of a guest: BATCH in mapper/guest/loops.c."""
PROGRAMS = "trace-mapper"
"""The directory below /root in dom0 for the files of a guest that maps."""
MIN_HYPERCALLS = 8
"""Hypercalls needed for the most frequent sequence of instructions to be representative."""
ATTEMPTS = 50
"""Attempts to read the hypervisor's code from memory."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab trace` that do not concern the lab to start."""
    parser.add_argument(
        "--name",
        metavar="LAB",
        help="running lab to trace, started with --exact (default: start a lab for the trace)",
    )
    parser.add_argument(
        "--syms",
        type=Path,
        metavar="FILE",
        help="xen-syms of the hypervisor (default: the file in the directory of its image)",
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=32,
        metavar="N",
        help="grant operations per hypercall (default: 32)",
    )
    parser.add_argument(
        "--granter",
        choices=["guest", "empty", "self"],
        help="granter of the pages that dom0 maps: the lab's guest, an empty domain, or dom0 itself"
        " (default: guest)",
    )
    parser.add_argument(
        "--mapper",
        default=DOM0,
        choices=MAPPERS,
        help="domain that maps: dom0, or a PV or PVH guest, which maps pages of an empty domain for"
        " its CPU, reads each page and unmaps (default: dom0)",
    )
    parser.add_argument(
        "--engine",
        choices=list(ENGINES.values()),
        help="how dom0 maps: hypercall for a device, gntdev for CPUs (default: hypercall, or gntdev"
        " in a PVH dom0, whose device mappings Xen rejects)",
    )
    parser.add_argument(
        "--mappings",
        type=int,
        default=1,
        choices=[1, 2, 3],
        help="simultaneous mappings of each reference; the last one is traced (default: 1)",
    )
    parser.add_argument(
        "--hypercalls",
        type=int,
        default=40,
        metavar="N",
        help=f"number of hypercalls to record, {MIN_HYPERCALLS} or more (default: 40)",
    )
    parser.add_argument(
        "--by",
        default="symbol",
        choices=list(report.BY),
        help="count instructions by symbol (inlined code belongs to its caller), by function of the"
        " source (inlined or not), or by source line (default: symbol)",
    )
    parser.add_argument(
        "--listing", action="store_true", help="print every instruction with its source line"
    )
    parser.add_argument("--json", action="store_true", help="print the trace as a JSON document")


def find_symbols_of_lab(booted: str, syms: Path | None = None) -> Path:
    """Return the file with the symbols of a lab's hypervisor.

    Args:
        booted: `Record.hypervisor`: a variant, or the path of an image.
        syms: the value of --syms.

    Raises:
        LabError: the file does not exist.
    """
    if booted not in hypervisor.VARIANTS:
        return find_symbols(Path(booted), syms)
    cache = Cache(places.cache_root())
    return find_symbols(hypervisor.build(cache, booted, os.cpu_count() or 1) / "xen", syms)


def find_symbols(xen: Path, syms: Path | None) -> Path:
    """Return the file with the symbols of a hypervisor.

    Args:
        xen: the hypervisor's image.
        syms: the value of --syms; None: `xen-syms` in the directory of the image.

    Raises:
        LabError: the file does not exist.
    """
    path = syms or xen.parent / "xen-syms"
    if not path.is_file():
        raise LabError(
            f"{path}, the symbols of {xen}, does not exist",
            "specify the xen-syms of the hypervisor with --syms FILE",
            exit_code=EXIT_USAGE,
        )
    return path


def record_trace(lab: Record, syms: Path, args: argparse.Namespace, directory: Path) -> None:
    """Record the instructions that the hypervisor executes while a domain maps and unmaps.

    Args:
        lab: a running lab with the instruction clock.
        syms: its hypervisor's symbols.
        args: of the command.
        directory: gets `log`, see `capture.executed`, and `text`, the hypervisor's .text section.

    Raises:
        LabError: the lab has two vCPUs, or its monitor or the load does not respond.
    """
    if not lab.exact:
        raise LabError(
            f"the lab {lab.name} cannot be traced: it has two vCPUs, whose instructions would be"
            " interleaved in the trace",
            "trace a lab that was started with --exact, or omit --name to start one",
            exit_code=EXIT_USAGE,
        )
    code = Code(syms)
    words = _dom0_load(lab, args) if args.mapper == DOM0 else _guest_load(lab, args)
    with _running(lab, words), Monitor(lab.directory / "monitor") as monitor:
        save_text_section(monitor, code, directory / "text")
        with step(f"recording {args.hypercalls} hypercalls"):
            log, entry = directory / "log", code.start(ENTRY)
            capture.record(monitor, log, entry, args.hypercalls + 1, RECORD_TIMEOUT)


def _dom0_load(lab: Record, args: argparse.Namespace) -> list[str]:
    """Return the program that lets dom0 map and unmap, with its arguments; sets the engine."""
    program = Path(__file__).with_name("load.py").read_text()
    args.engine = args.engine or ENGINES[lab.dom0]
    words = [str(args.batch), args.granter, str(args.mappings), args.engine]
    return ["python3", "-c", program, *words]


def _guest_load(lab: Record, args: argparse.Namespace) -> list[str]:
    """Return the program that lets a guest map and unmap; copies it into dom0."""
    built = mapper.build(Cache(places.cache_root()))
    remote.put(lab, [*mapper.programs(), *(built / name for name in mapper.FILES)], PROGRAMS)
    words = [args.mapper, str(args.batch), str(args.mappings)]
    return ["python3", f"{remote.HOME}/{PROGRAMS}/trace_load.py", *words]


@contextmanager
def _running(lab: Record, words: Sequence[str]) -> Iterator[None]:
    """Run a program that maps and unmaps while the context is active.

    Args:
        lab: a running lab.
        words: the program in dom0 with its arguments: it prints a line once the first operation has
            succeeded, and unmaps everything when its stdin is closed.

    Raises:
        LabError: the first operation did not succeed within START_TIMEOUT.
    """
    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(
            [*remote.ssh(lab), shlex.join(words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as load,
    ):
        try:
            out = load.stdout
            if not (out and select.select([out], [], [], START_TIMEOUT)[0] and out.readline()):
                stderr.seek(0)
                last = stderr.read().decode(errors="replace").strip().splitlines()[-1:]
                message = " ".join(last) or _silence(load)
                raise LabError(
                    f"the program that makes the traced hypercalls did not start in dom0: {message}"
                )
            yield
        finally:
            if load.stdin:
                load.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                load.wait(END_TIMEOUT)
            load.kill()


def _silence(load: "subprocess.Popen[bytes]") -> str:
    """Describe a load that has completed no operation and has printed no message."""
    try:
        return f"ssh ended with exit code {load.wait(EXIT_TIMEOUT)} and without a message"
    except subprocess.TimeoutExpired:
        return f"no operation in {START_TIMEOUT:.0f} s, and no message"


def save_text_section(monitor: Monitor, code: Code, target: Path) -> None:
    """Write the hypervisor's .text section, with the alternatives applied, to a file.

    Args:
        monitor: of the machine.
        code: the linked code.
        target: the file to write.

    Raises:
        LabError: the memory cannot be read, or has the code of another build.
    """
    start, size = code.section
    for attempt in range(ATTEMPTS):
        monitor.do("stop")
        try:
            capture.memory(monitor, start, size, target)
            break
        except LabError:  # Xen is not mapped in the current page table: try another moment
            if attempt + 1 == ATTEMPTS:
                raise
        finally:
            monitor.do("cont")
        time.sleep(0.02)
    code.compare(target.read_bytes())


def set_defaults(args: argparse.Namespace) -> None:
    """Check the options that depend on the mapper, and set the granter.

    Args:
        args: of the command.

    Raises:
        LabError: --granter or --engine is given with a guest as the mapper, or a batch that is too
            large for it.
    """
    if args.mapper == DOM0:
        args.granter = args.granter or "guest"
        return
    for option in ("granter", "engine"):
        if getattr(args, option):
            raise LabError(
                f"--{option} has no effect with --mapper {args.mapper}: the guest maps pages of an"
                " empty domain for its CPU",
                f"remove --{option}",
                exit_code=EXIT_USAGE,
            )
    if args.batch > MAX_MAPPER_BATCH:
        raise LabError(
            f"--batch {args.batch} is out of range",
            f"specify at most {MAX_MAPPER_BATCH} with --mapper {args.mapper}",
            exit_code=EXIT_USAGE,
        )
    args.granter = "empty"


def run(args: argparse.Namespace, options: session.Options, running: Record | None) -> int:
    """Trace a lab and print the result.

    Args:
        args: of the command.
        options: the lab to start.
        running: a running lab to trace instead.

    Raises:
        LabError: an option is out of range, or the trace failed.
    """
    if args.batch < 1:
        raise LabError(
            f"--batch {args.batch} is out of range", "specify 1 or more", exit_code=EXIT_USAGE
        )
    if args.hypercalls < MIN_HYPERCALLS:
        raise LabError(
            f"--hypercalls {args.hypercalls} is too low to find the most frequent sequence of"
            " instructions",
            f"specify {MIN_HYPERCALLS} or more",
            exit_code=EXIT_USAGE,
        )
    if running:
        syms = find_symbols_of_lab(running.hypervisor, args.syms)
    else:
        _, xen = session.build(Cache(places.cache_root()), options)
        syms = find_symbols(xen, args.syms)
    if args.mapper != DOM0:
        mapper.build(Cache(places.cache_root()))  # here, so that an error does not cost a boot
    with tempfile.TemporaryDirectory(prefix="lab-trace-") as temporary:
        directory = Path(temporary)
        name = f"trace-{os.getpid()}"
        try:
            lab = running or session.up(name, options, detached=False)
            record_trace(lab, syms, args, directory)
        finally:
            session.down(name)
        code = Code(syms, directory / "text")
        traces = analyse(code, directory / "log", args.batch)
    if args.json:
        load = {
            "batch": args.batch,
            "mapper": args.mapper,
            "granter": args.granter,
            "mappings": args.mappings,
            "engine": args.engine,
        }
        document = report.document(traces, code, load)
        print(json.dumps(document, indent=1))
    else:
        print(report.table(traces, code, args.batch, args.by))
        if args.listing:
            print(report.listing(traces, code))
    return 0
