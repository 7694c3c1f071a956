"""`lab trace`: which instructions a grant operation is made of, exactly, on a given hypervisor."""

import argparse
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lablib import hypervisor, places, remote, session, trace_capture, trace_table
from lablib.cache import Cache
from lablib.errors import EXIT_USAGE, LabError
from lablib.record import Record
from lablib.trace_analyse import analyse
from lablib.trace_code import Code
from lablib.work import step

STARTING = 300.0
"""Seconds the load may take until its first operation."""
ATTEMPTS = 50


def options(parser: argparse.ArgumentParser) -> None:
    """Add what `trace` takes besides what to boot."""
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
        "--seconds", type=float, default=3.0, metavar="S", help="how long to record (3)"
    )
    parser.add_argument(
        "--by",
        default="symbol",
        choices=list(trace_table.BY),
        help="count by the function that code became part of, by the source's function, inlined"
        " or not, or by the source's line (symbol)",
    )
    parser.add_argument(
        "--listing", action="store_true", help="append every instruction with its source line"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def symbols(xen: Path, given: Path | None) -> Path:
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


def capture(syms: Path, options: session.Options, args: argparse.Namespace, to: Path) -> None:
    """Boot, let dom0 map and unmap, and write down what the hypervisor executes.

    Args:
        syms: its symbols.
        options: what to boot.
        args: of the command.
        to: a directory; gets `log`, see `trace_capture.executed`, and `text`, its code.
    """
    name = f"trace-{os.getpid()}"
    try:
        lab = session.up(name, options, stays=False)
        with _load(lab, args), trace_capture.Monitor(lab.directory / "monitor") as monitor:
            with step(f"recording for {args.seconds:g} s"):
                trace_capture.record(monitor, to / "log", args.seconds)
            _text(monitor, Code(syms), to / "text")
    finally:
        session.down(name)


@contextmanager
def _load(lab: Record, args: argparse.Namespace) -> Iterator[None]:
    """Keep dom0 mapping and unmapping."""
    words = f"python3 - {args.batch} {args.granter} {args.mappings}"
    program = Path(__file__).with_name("trace_load.py")
    with (
        program.open("rb") as given,
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [*remote.ssh(lab), words], stdin=given, stdout=subprocess.PIPE, stderr=said
        ) as load,
    ):
        try:
            out = load.stdout
            if not (out and select.select([out], [], [], STARTING)[0] and out.readline()):
                said.seek(0)
                last = said.read().decode(errors="replace").strip().splitlines()[-1:]
                raise LabError(f"the load in dom0 did not start: {' '.join(last)}", lab.name)
            yield
        finally:
            load.kill()


def _text(monitor: trace_capture.Monitor, code: Code, target: Path) -> None:
    """Read the hypervisor's code out of the machine; not every page table has it mapped."""
    start, size = code.section
    for attempt in range(ATTEMPTS):
        monitor.do("stop")
        try:
            trace_capture.memory(monitor, start, size, target)
        except LabError:
            if attempt + 1 == ATTEMPTS:
                raise
        else:
            return
        monitor.do("cont")
        time.sleep(0.02)


def trace(args: argparse.Namespace, chosen: session.Options) -> int:
    """Boot, trace, print.

    Args:
        args: of the command.
        chosen: what it says of the machine; tracing makes it exact.
    """
    if args.batch < 1:
        raise LabError(f"a batch of {args.batch} is none", "give --batch 1 or more", exit_code=2)
    if chosen.xen is None:
        cache = Cache(places.cache_root())
        xen = hypervisor.build(cache, chosen.hypervisor, os.cpu_count() or 1) / "xen"
    else:
        xen = chosen.xen
    syms = symbols(xen, args.syms)
    with tempfile.TemporaryDirectory(prefix="lab-trace-") as place:
        to = Path(place)
        capture(syms, chosen, args, to)
        code = Code(syms, to / "text")
        traced = analyse(code, to / "log", args.batch)
    if args.json:
        made = trace_table.document(traced, code, args.batch, args.granter, args.mappings)
        print(json.dumps(made, indent=1))
    else:
        print(trace_table.table(traced, code, args.batch, args.by))
        if args.listing:
            print(trace_table.listing(traced, code))
    return 0
