"""Measure grant map and unmap on stock and on patched Xen, and compare."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lablib import places
from lablib.demo.results import paragraph, table
from lablib.demo.stages import REFRESH, Process, Stages
from lablib.errors import EXIT_NO_SOURCE, EXIT_USAGE, LabError
from lablib.work import tell

LAB = str(places.LAB / "lab")
SIDES = ("stock", "patched")
ENGINES = "--engine hypercall --engine gntdev --granter guest --batch 1 --batch 32"

MEASURING = "xengt-demo: measuring"
WAITING = "xengt-demo: waiting for the other side"

LIMITS = (
    "These are wall-clock times of an emulator: they scatter from boot to boot, depend on what else"
    " this machine does, and say nothing about hardware."
)

DESCRIPTION = """\
Starts Xen, dom0 and a guest under QEMU, with the stock hypervisor and with the patched one, side by
side. `xengt bench` measures the same plan in both, and `xengt compare` compares them. The clock
counts instructions, so other work on this machine does not change the result.

If no archive has a source of Xen, or with --hypervisor debian, the demo measures the hypervisor of
Debian's own package and compares nothing.
"""


@dataclass(frozen=True)
class Demo:
    """What the user asked for.

    Attributes:
        out: the directory for the documents and the page.
        samples: timed calls for each case.
        boots: boots of each hypervisor with the wall clock; 0 is one lab each, with the
            instruction clock.
        threads: dom0's two vCPUs run at once, on two CPUs of this machine.
        xen_source: a tree or tarball to build Xen from.
        lab: further options of `lab run`.
    """

    out: Path
    samples: int
    boots: int
    threads: bool
    xen_source: Path | None
    lab: tuple[str, ...]

    @property
    def bench(self) -> str:
        """Return the command that measures."""
        threads = "--threads 1 --threads 2 " if self.threads else ""
        return f"xengt bench {ENGINES} {threads}--samples {self.samples}"

    def run(self, hypervisor: str, line: str, *options: str) -> list[str]:
        """Return a `lab run` command.

        Args:
            hypervisor: `stock`, `patched` or `debian`.
            line: of shell, for dom0.
            options: further ones of `lab run`.
        """
        clock = ["--boot"] if self.boots else ["--exact"]
        clock += ["--threads", "multi"] if self.threads else []
        source = ["--xen-source", str(self.xen_source)] if self.xen_source else []
        source = [] if hypervisor == "debian" else source
        command = [LAB, "run", "--hypervisor", hypervisor, "--guest", *clock, *source, *self.lab]
        return [*command, "--to", str(self.out), *options, "--", line]


def compared(demo: Demo, stages: Stages) -> str:
    """Measure both sides; return what to print.

    Args:
        demo: what was asked for.
        stages: where the stages are shown.
    """
    return _by_turns(demo, stages) if demo.boots else _side_by_side(demo, stages)


def _side_by_side(demo: Demo, stages: Stages) -> str:
    """Measure both sides at once; the patched one's dom0 compares."""
    log = {side: _log(f"demo-{side}") for side in SIDES}
    waits = False

    def waiting() -> None:
        nonlocal waits
        stages.end("patched", "measuring")
        waits = True

    lines = {
        "stock": _measured(demo, "stock.json"),
        "patched": f"{_measured(demo, 'patched.json')} && echo '{WAITING}' >&2 && cat > stock.json"
        f" && {_compare(['stock.json'], ['patched.json'])}",
    }
    takes = {
        "stock": ["--get", "stock.json"],
        "patched": [*_got(["patched.json", *COMPARED])],
    }
    with ExitStack() as stack:
        processes = {}
        for side in SIDES:
            begins = partial(stages.begin, side, "measuring")
            marks: dict[str, Callable[[], object]] = {MEASURING: begins, WAITING: waiting}
            command = demo.run(side, lines[side], *takes[side])
            processes[side] = Process(command, side, stages, log[side], marks)
            stack.callback(processes[side].kill)
        _wait(processes["stock"], stages, processes["patched"])
        stages.end("stock", "measuring")
        while not waits and not processes["patched"].ended():
            _pause(stages)
        stages.begin("", "comparing")
        processes["patched"].give(demo.out / "stock.json")
        _wait(processes["patched"], stages)
        stages.end("", "comparing")
    return _report(demo, ["stock.json", "patched.json"])


def _by_turns(demo: Demo, stages: Stages) -> str:
    """Measure both sides by turns, each in boots of its own; the last dom0 compares."""
    done: dict[str, list[str]] = {side: [] for side in SIDES}
    given: list[str] = []
    for turn in range(1, demo.boots + 1):
        for side in SIDES:
            name = f"{side}-{turn}.json"
            line, takes = _measured(demo, name), ["--get", name]
            done[side].append(name)
            if (turn, side) == (demo.boots, "patched"):
                line += f" && {_compare(done['stock'], done['patched'])}"
                takes += _got(COMPARED)
            label = f"boot {2 * turn - (side == 'stock')} of {2 * demo.boots}, {side}"
            _alone(demo.run(side, line, *given, *takes), label, stages)
            given += ["--put", str(demo.out / name)]
    return f"{_report(demo, [*done['stock'], *done['patched']])}\n{LIMITS}"


def debian(demo: Demo, stages: Stages) -> str:
    """Measure Debian's own hypervisor; return what to print.

    Args:
        demo: what was asked for.
        stages: where the stages are shown.
    """
    documents = ["debian.json", "debian.html", "debian.txt"]
    line = f"echo '{MEASURING}' >&2; {demo.bench} --json debian.json --html debian.html >debian.txt"
    _alone(demo.run("debian", line, *_got(documents)), "debian", stages)
    return "\n".join(
        [
            (demo.out / "debian.txt").read_text().rstrip(),
            "",
            "Skipped: building Xen with and without the patches, and comparing the two.",
            f"The page:     {demo.out / 'debian.html'}",
            f"The document: {demo.out / 'debian.json'}",
        ]
    )


COMPARED = ("compare.json", "compare.html", "compare.txt")


def _measured(demo: Demo, name: str) -> str:
    return f"echo '{MEASURING}' >&2; {demo.bench} --json {name} >/dev/null"


def _compare(base: Sequence[str], new: Sequence[str]) -> str:
    outputs = "--json compare.json --html compare.html >compare.txt"
    return f"xengt compare {' '.join(base)} -- {' '.join(new)} {outputs}"


def _got(names: Sequence[str]) -> list[str]:
    return [word for name in names for word in ("--get", name)]


def _report(demo: Demo, documents: Sequence[str]) -> str:
    comparison = json.loads((demo.out / "compare.json").read_text())
    return "\n".join(
        [
            table(comparison),
            "",
            paragraph(comparison),
            "",
            f"The page:      {demo.out / 'compare.html'}",
            f"The documents: {demo.out}/{{{','.join([*documents, 'compare.json'])}}}",
        ]
    )


def _alone(command: Sequence[str], side: str, stages: Stages) -> None:
    """Run one `lab` command with its stages."""
    marks = {MEASURING: partial(stages.begin, side, "measuring")}
    process = Process(command, side, stages, _log("demo"), marks)
    try:
        _wait(process, stages)
    finally:
        process.kill()
    if (side, "measuring") in stages.running:
        stages.end(side, "measuring")


def _wait(process: Process, stages: Stages, *others: Process) -> None:
    """Wait for a process; fail as soon as another one does."""
    while not process.ended():
        for other in others:
            other.ended()
        _pause(stages)


def _pause(stages: Stages) -> None:
    stages.refresh()
    time.sleep(REFRESH)


def _log(name: str) -> Path:
    path = places.cache_root() / "log" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(
        prog="demo",
        description=DESCRIPTION,
        epilog="example: demo -o /tmp/demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "-o",
        dest="out",
        type=Path,
        metavar="DIR",
        default=places.cache_root() / "demo",
        help="where the documents and the page go (~/.cache/xengt/demo)",
    )
    top.add_argument(
        "-n",
        dest="samples",
        type=_positive,
        metavar="SAMPLES",
        default=200,
        help="timed calls for each case (200)",
    )
    top.add_argument(
        "--wall-clock",
        action="store_true",
        help="measure time instead of instructions, in several boots of each hypervisor by turns",
    )
    top.add_argument(
        "-b",
        dest="boots",
        type=_positive,
        metavar="BOOTS",
        help="with --wall-clock: boots of each hypervisor (5)",
    )
    top.add_argument(
        "--threads",
        choices=["single", "multi"],
        default="single",
        help="with --wall-clock: `multi' runs dom0's two vCPUs at once, on two CPUs of this machine"
        " that do nothing else, and measures two threads beside one (single)",
    )
    top.add_argument(
        "--xen-source",
        type=Path,
        metavar="PATH",
        help="build both hypervisors from this directory or tarball of Xen's source",
    )
    top.add_argument(
        "--hypervisor", choices=["debian"], help="measure Debian's own binary, and build nothing"
    )
    top.add_argument(
        "--xen-args", default="", metavar="WORDS", help="further words for Xen's command line"
    )
    return top


def main() -> int:
    """Run the demo; turn failures into words and an exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda signum, _frame: sys.exit(128 + signum))
    args = parser().parse_args()
    stages = Stages(places.cache_root() / "demo-stages.json")
    whole = False
    try:
        text = _run(args, stages)
        whole = True
    except LabError as error:
        stages.close(whole=False)
        return tell(error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        stages.close(whole=whole)
    print(f"\n{text}\n{stages.elapsed:.0f} s in all")
    return 0


def _run(args: argparse.Namespace, stages: Stages) -> str:
    for words in _wrong(args):
        raise LabError(words, "see demo --help", exit_code=EXIT_USAGE)
    demo = Demo(
        out=args.out,
        samples=args.samples,
        boots=(args.boots or 5) if args.wall_clock else 0,
        threads=args.threads == "multi",
        xen_source=args.xen_source,
        lab=("--xen-args", args.xen_args) if args.xen_args else (),
    )
    stages.begin("", "installing packages")
    _alone([LAB, "status"], "", stages)
    stages.end("", "installing packages")
    if args.hypervisor or not _has_source(demo, stages):
        return debian(demo, stages)
    return compared(demo, stages)


def _has_source(demo: Demo, stages: Stages) -> bool:
    """Tell whether there is a source of Xen to build from."""
    source = ["--xen-source", str(demo.xen_source)] if demo.xen_source else []
    try:
        _alone([LAB, "source", *source], "", stages)
    except LabError as error:
        if error.exit_code != EXIT_NO_SOURCE:
            raise
        print("without a source of Xen, this measures Debian's own hypervisor", file=sys.stderr)
        return False
    return True


def _wrong(args: argparse.Namespace) -> Iterator[str]:
    """Yield what is wrong with a combination of options."""
    if args.boots and not args.wall_clock:
        yield "-b is for --wall-clock: an instruction count needs one boot"
    if args.threads == "multi" and not args.wall_clock:
        yield "--threads multi is for --wall-clock: the instruction clock has one vCPU"
    if args.hypervisor and args.xen_source:
        yield "--xen-source is not for --hypervisor debian, which is not built"
