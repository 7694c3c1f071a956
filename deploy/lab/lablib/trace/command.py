"""`lab trace`: which instructions a grant operation is made of, exactly, on a given hypervisor."""

import argparse
import json
import os
import select
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lablib import places, remote, session
from lablib.artifacts import hypervisor
from lablib.cache import Cache
from lablib.errors import EXIT_USAGE, LabError
from lablib.monitor import Monitor
from lablib.output import step
from lablib.record import Record
from lablib.trace import capture, report
from lablib.trace.analyse import ENTRY, analyse
from lablib.trace.code import Code

STARTING = 1500.0
"""Seconds the load may take until its first operation."""
RECORDING = 1500.0
"""Seconds the hypercalls may take."""
ENDING = 300.0
"""Seconds it may take to unmap what it has."""
FEWEST = 8
ATTEMPTS = 50


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `trace` takes besides what to boot."""
    parser.add_argument(
        "--name", metavar="LAB", help="trace a lab that is up with --exact; boot none"
    )
    parser.add_argument(
        "--syms", type=Path, metavar="FILE", help="xen-syms of --xen (the one beside it)"
    )
    parser.add_argument(
        "--batch", type=int, default=32, metavar="N", help="operations a hypercall (32)"
    )
    parser.add_argument(
        "--granter", default="guest", choices=["guest", "empty", "self"], help="whose pages (guest)"
    )
    parser.add_argument(
        "--mappings",
        type=int,
        default=1,
        choices=[1, 2, 3],
        help="of each reference at once; the last one is traced (1)",
    )
    parser.add_argument(
        "--hypercalls", type=int, default=40, metavar="N", help="how many to record (40)"
    )
    parser.add_argument(
        "--by",
        default="symbol",
        choices=list(report.BY),
        help="count by the function that code became part of, by the source's function, inlined"
        " or not, or by the source's line (symbol)",
    )
    parser.add_argument(
        "--listing", action="store_true", help="append every instruction with its source line"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def find_symbols_of_lab(booted: str, given: Path | None = None) -> Path:
    """Return the file with the symbols of what a lab boots.

    Args:
        booted: a variant built here, or the path of an image: `Record.hypervisor`.
        given: what the user says.
    """
    if booted not in hypervisor.VARIANTS:
        return find_symbols(Path(booted), given)
    cache = Cache(places.cache_root())
    return find_symbols(hypervisor.build(cache, booted, os.cpu_count() or 1) / "xen", given)


def find_symbols(xen: Path, given: Path | None) -> Path:
    """Return the file with a hypervisor's symbols.

    Args:
        xen: the image.
        given: what the user says; None: `xen-syms` in the image's directory.

    Raises:
        LabError: it is not there.
    """
    path = given or xen.parent / "xen-syms"
    if not path.is_file():
        raise LabError(
            f"the symbols {path} of {xen} are not there",
            "give the build's xen-syms with --syms FILE",
            exit_code=EXIT_USAGE,
        )
    return path


def record_trace(lab: Record, syms: Path, args: argparse.Namespace, to: Path) -> None:
    """Let dom0 map and unmap, and write down what the hypervisor executes.

    Args:
        lab: an exact one that is up.
        syms: its hypervisor's symbols.
        args: of the command.
        to: a directory; gets `log`, see `capture.executed`, and `text`, its code.

    Raises:
        LabError: the lab keeps no monitor, or no exact time.
    """
    if not lab.exact:
        raise LabError(
            f"{lab.name} has two vCPUs, whose instructions would come mixed",
            "trace a lab that is up with --exact",
            exit_code=EXIT_USAGE,
        )
    code = Code(syms)
    with _load(lab, args), Monitor(lab.directory / "monitor") as monitor:
        save_text_section(monitor, code, to / "text")
        with step(f"recording {args.hypercalls} hypercalls"):
            log, entry = to / "log", code.start(ENTRY)
            capture.record(monitor, log, entry, args.hypercalls + 1, RECORDING)


@contextmanager
def _load(lab: Record, args: argparse.Namespace) -> Iterator[None]:
    """Keep dom0 mapping and unmapping; afterwards nothing of it is left there."""
    program = Path(__file__).with_name("load.py").read_text()
    words = ["python3", "-c", program, str(args.batch), args.granter, str(args.mappings)]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [*remote.ssh(lab), shlex.join(words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        ) as load,
    ):
        try:
            out = load.stdout
            if not (out and select.select([out], [], [], STARTING)[0] and out.readline()):
                said.seek(0)
                last = said.read().decode(errors="replace").strip().splitlines()[-1:]
                raise LabError(f"the load in dom0 did not start: {' '.join(last)}")
            yield
        finally:
            if load.stdin:
                load.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                load.wait(ENDING)
            load.kill()


def save_text_section(monitor: Monitor, code: Code, target: Path) -> None:
    """Read the hypervisor's code out of the machine.

    Args:
        monitor: of the machine.
        code: of what was linked.
        target: the file to write.

    Raises:
        LabError: it cannot be read, or is another hypervisor's.
    """
    start, size = code.section
    for attempt in range(ATTEMPTS):
        monitor.do("stop")
        try:
            capture.memory(monitor, start, size, target)
            break
        except LabError:  # not every page table of a guest has it mapped
            if attempt + 1 == ATTEMPTS:
                raise
        finally:
            monitor.do("cont")
        time.sleep(0.02)
    code.compare(target.read_bytes())


def run(args: argparse.Namespace, chosen: session.Options, running: Record | None) -> int:
    """Trace a lab that is up, or boot one for it; print.

    Args:
        args: of the command.
        chosen: what it says of the machine to boot.
        running: the lab to trace instead.
    """
    if args.batch < 1:
        raise LabError(
            f"a batch of {args.batch} is none", "give --batch 1 or more", exit_code=EXIT_USAGE
        )
    if args.hypercalls < FEWEST:
        raise LabError(
            f"{args.hypercalls} hypercalls show no usual one",
            f"give --hypercalls {FEWEST} or more",
            exit_code=EXIT_USAGE,
        )
    if running:
        syms = find_symbols_of_lab(running.hypervisor, args.syms)
    else:
        _, xen = session.build(Cache(places.cache_root()), chosen)
        syms = find_symbols(xen, args.syms)
    with tempfile.TemporaryDirectory(prefix="lab-trace-") as place:
        to = Path(place)
        name = f"trace-{os.getpid()}"
        try:
            lab = running or session.up(name, chosen, stays=False)
            record_trace(lab, syms, args, to)
        finally:
            session.down(name)
        code = Code(syms, to / "text")
        traced = analyse(code, to / "log", args.batch)
    if args.json:
        made = report.document(traced, code, args.batch, args.granter, args.mappings)
        print(json.dumps(made, indent=1))
    else:
        print(report.table(traced, code, args.batch, args.by))
        if args.listing:
            print(report.listing(traced, code))
    return 0
