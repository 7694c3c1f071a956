"""The demo's command line, and the labs it starts."""

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
from lablib.demo.results import summary, table
from lablib.demo.stages import REFRESH, LabProcess, Stages
from lablib.errors import EXIT_NO_SOURCE, EXIT_USAGE, LabError
from lablib.output import report_error

LAB = str(places.LAB / "lab")
SIDES = ("stock", "patched")
ENGINES = "--engine hypercall --engine gntdev --granter guest --batch 1 --batch 32"

MEASURING = "xengt-demo: measuring"
WAITING = "xengt-demo: waiting for the other side"

LIMITS = (
    "These are wall-clock times under emulation: they vary between boots and with the load of this"
    " machine, and do not predict times on hardware."
)

DESCRIPTION = """\
Starts two labs in parallel, each with Xen, dom0 and a guest under QEMU: one with the stock
hypervisor, one with the patched hypervisor. `xengt bench` measures grant map and unmap in both, and
`xengt compare` compares the results. The labs' clocks count instructions, so the load of this
machine does not change the result.

If no archive has a source of Xen, or with --hypervisor debian, the demo measures the hypervisor of
Debian's package and compares nothing.
"""

EPILOG = """\
example: demo -o /tmp/demo

exit codes: 0 success, 2 usage error or missing prerequisite, 3 failure of a lab
"""


@dataclass(frozen=True)
class Demo:
    """The options of the demo.

    Attributes:
        out: the directory for the documents and the HTML page.
        samples: timed calls per setup.
        boots: boots of each hypervisor with the wall clock; 0: one lab per hypervisor, with the
            instruction clock.
        threads: one host thread per vCPU, and cases with one and two threads.
        xen_source: source directory or tarball to build Xen from.
        lab_options: further options of `lab run`.
    """

    out: Path
    samples: int
    boots: int
    threads: bool
    xen_source: Path | None
    lab_options: tuple[str, ...]

    @property
    def bench(self) -> str:
        """Return the `xengt bench` command line without output options."""
        threads = "--threads 1 --threads 2 " if self.threads else ""
        return f"xengt bench {ENGINES} {threads}--samples {self.samples}"

    def run(self, hypervisor: str, line: str, *options: str) -> list[str]:
        """Return a `lab run` command.

        Args:
            hypervisor: `stock`, `patched` or `debian`.
            line: shell command line for dom0.
            options: further options of `lab run`.
        """
        clock = ["--boot"] if self.boots else ["--exact"]
        clock += ["--threads", "multi"] if self.threads else []
        source = ["--xen-source", str(self.xen_source)] if self.xen_source else []
        source = [] if hypervisor == "debian" else source
        command = [LAB, "run", "--hypervisor", hypervisor, "--guest", *clock, *source]
        return [*command, *self.lab_options, "--to", str(self.out), *options, "--", line]


def compare(demo: Demo, stages: Stages) -> str:
    """Measure stock and patched Xen and compare them; return the text to print.

    Args:
        demo: the options.
        stages: where the stages are reported.
    """
    return _compare_boots(demo, stages) if demo.boots else _compare_in_parallel(demo, stages)


def _compare_in_parallel(demo: Demo, stages: Stages) -> str:
    """Measure both hypervisors at the same time; dom0 on patched Xen compares."""
    log = {side: _empty_log(f"demo-{side}") for side in SIDES}
    waiting = False

    def patched_waits() -> None:
        nonlocal waiting
        stages.end("patched", "measuring")
        waiting = True

    lines = {
        "stock": _bench_line(demo, "stock.json"),
        "patched": f"{_bench_line(demo, 'patched.json')} && echo '{WAITING}' >&2"
        f" && cat > stock.json && {_compare_line(['stock.json'], ['patched.json'])}",
    }
    results = {
        "stock": _get_options(["stock.json"]),
        "patched": _get_options(["patched.json", *COMPARISON]),
    }
    with ExitStack() as stack:
        processes = {}
        for side in SIDES:
            begins = partial(stages.begin, side, "measuring")
            markers: dict[str, Callable[[], object]] = {MEASURING: begins, WAITING: patched_waits}
            command = demo.run(side, lines[side], *results[side])
            processes[side] = LabProcess(command, side, stages, log[side], markers)
            stack.callback(processes[side].kill)
        _wait(processes["stock"], stages, processes["patched"])
        stages.end("stock", "measuring")
        while not waiting and not processes["patched"].has_ended():
            _pause(stages)
        stages.begin("", "comparing")
        processes["patched"].send(demo.out / "stock.json")
        _wait(processes["patched"], stages)
        stages.end("", "comparing")
    return _report(demo, ["stock.json", "patched.json"])


def _compare_boots(demo: Demo, stages: Stages) -> str:
    """Measure both hypervisors alternately, one boot per document; the last dom0 compares."""
    documents: dict[str, list[str]] = {side: [] for side in SIDES}
    inputs: list[str] = []
    for turn in range(1, demo.boots + 1):
        for side in SIDES:
            name = f"{side}-{turn}.json"
            line, results = _bench_line(demo, name), ["--get", name]
            documents[side].append(name)
            if (turn, side) == (demo.boots, "patched"):
                line += f" && {_compare_line(documents['stock'], documents['patched'])}"
                results += _get_options(COMPARISON)
            label = f"boot {2 * turn - (side == 'stock')} of {2 * demo.boots}, {side}"
            _run_lab(demo.run(side, line, *inputs, *results), label, stages)
            inputs += ["--put", str(demo.out / name)]
    return f"{_report(demo, [*documents['stock'], *documents['patched']])}\n{LIMITS}"


def measure_debian(demo: Demo, stages: Stages) -> str:
    """Measure the hypervisor of Debian's package; return the text to print.

    Args:
        demo: the options.
        stages: where the stages are reported.
    """
    documents = ["debian.json", "debian.html", "debian.txt"]
    line = f"echo '{MEASURING}' >&2; {demo.bench} --json=debian.json --html debian.html >debian.txt"
    _run_lab(demo.run("debian", line, *_get_options(documents)), "debian", stages)
    return "\n".join(
        [
            (demo.out / "debian.txt").read_text().rstrip(),
            "",
            "Skipped: building Xen with and without the patches, and comparing the two.",
            f"The page:     {demo.out / 'debian.html'}",
            f"The document: {demo.out / 'debian.json'}",
        ]
    )


COMPARISON = ("compare.json", "compare.html", "compare.txt")


def _bench_line(demo: Demo, name: str) -> str:
    return f"echo '{MEASURING}' >&2; {demo.bench} --json={name} >/dev/null"


def _compare_line(base: Sequence[str], new: Sequence[str]) -> str:
    outputs = "--json=compare.json --html compare.html >compare.txt"
    return f"xengt compare {' '.join(base)} -- {' '.join(new)} {outputs}"


def _get_options(names: Sequence[str]) -> list[str]:
    return [word for name in names for word in ("--get", name)]


def _report(demo: Demo, documents: Sequence[str]) -> str:
    comparison = json.loads((demo.out / "compare.json").read_text())
    return "\n".join(
        [
            table(comparison),
            "",
            summary(comparison),
            "",
            f"The page:      {demo.out / 'compare.html'}",
            f"The documents: {demo.out}/{{{','.join([*documents, 'compare.json'])}}}",
        ]
    )


def _run_lab(command: Sequence[str], side: str, stages: Stages) -> None:
    """Run one `lab` command and report its stages.

    Raises:
        LabError: the command failed; the error has its exit code.
    """
    markers = {MEASURING: partial(stages.begin, side, "measuring")}
    process = LabProcess(command, side, stages, _empty_log("demo"), markers)
    try:
        _wait(process, stages)
    finally:
        process.kill()
    if (side, "measuring") in stages.running:
        stages.end(side, "measuring")


def _wait(process: LabProcess, stages: Stages, *others: LabProcess) -> None:
    """Wait until a process has ended.

    Raises:
        LabError: this process or one of the others failed.
    """
    while not process.has_ended():
        for other in others:
            other.has_ended()
        _pause(stages)


def _pause(stages: Stages) -> None:
    stages.refresh()
    time.sleep(REFRESH)


def _empty_log(name: str) -> Path:
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
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="demo",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "-o",
        dest="out",
        type=Path,
        metavar="DIR",
        default=places.cache_root() / "demo",
        help="directory for the documents and the HTML page (default: ~/.cache/xengt/demo)",
    )
    top.add_argument(
        "-n",
        dest="samples",
        type=_positive,
        metavar="SAMPLES",
        default=200,
        help="timed calls per setup (default: 200)",
    )
    top.add_argument(
        "--wall-clock",
        action="store_true",
        help="measure time instead of instructions, in several boots of each hypervisor in turn",
    )
    top.add_argument(
        "-b",
        dest="boots",
        type=_positive,
        metavar="BOOTS",
        help="with --wall-clock: number of boots of each hypervisor (default: 5)",
    )
    top.add_argument(
        "--threads",
        choices=["single", "multi"],
        default="single",
        help="with --wall-clock: host threads that run dom0's two vCPUs; multi is one thread per"
        " vCPU, needs two idle CPUs, and adds cases with two threads (default: single)",
    )
    top.add_argument(
        "--xen-source",
        type=Path,
        metavar="PATH",
        help="build both hypervisors from this source directory or tarball instead of Debian's"
        " source",
    )
    top.add_argument(
        "--hypervisor",
        choices=["debian"],
        help="measure only the hypervisor of Debian's package, without building one",
    )
    top.add_argument(
        "--xen-args",
        default="",
        metavar="OPTIONS",
        help="options to append to Xen's command line, as one argument",
    )
    return top


def main() -> int:
    """Run the demo; report a failure and return the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda signum, _frame: sys.exit(128 + signum))
    args = parser().parse_args()
    stages = Stages(places.cache_root() / "demo-stages.json")
    complete = False
    try:
        text = _run(args, stages)
        complete = True
    except LabError as error:
        stages.close(complete=False)
        return report_error(error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        stages.close(complete=complete)
    print(f"\n{text}\nTotal time: {stages.elapsed:.0f} s")
    return 0


def _run(args: argparse.Namespace, stages: Stages) -> str:
    for problem in _conflicts(args):
        raise LabError(problem, "`demo --help` describes the options", exit_code=EXIT_USAGE)
    demo = Demo(
        out=args.out,
        samples=args.samples,
        boots=(args.boots or 5) if args.wall_clock else 0,
        threads=args.threads == "multi",
        xen_source=args.xen_source,
        lab_options=("--xen-args", args.xen_args) if args.xen_args else (),
    )
    stages.begin("", "installing packages")
    _run_lab([LAB, "status"], "", stages)
    stages.end("", "installing packages")
    if args.hypervisor or not _has_source(demo, stages):
        return measure_debian(demo, stages)
    return compare(demo, stages)


def _has_source(demo: Demo, stages: Stages) -> bool:
    """Return whether there is a source of Xen to build from."""
    source = ["--xen-source", str(demo.xen_source)] if demo.xen_source else []
    try:
        _run_lab([LAB, "source", *source], "", stages)
    except LabError as error:
        if error.exit_code != EXIT_NO_SOURCE:
            raise
        print(
            "no source of Xen can be downloaded: the demo measures only the hypervisor of Debian's"
            " package",
            file=sys.stderr,
        )
        return False
    return True


def _conflicts(args: argparse.Namespace) -> Iterator[str]:
    """Yield the conflicts between options, one sentence each."""
    if args.boots and not args.wall_clock:
        yield "-b needs --wall-clock: instruction counts do not vary between boots"
    if args.threads == "multi" and not args.wall_clock:
        yield "--threads multi needs --wall-clock: a lab that counts instructions has one vCPU"
    if args.hypervisor and args.xen_source:
        yield "--xen-source has no effect with --hypervisor debian, which builds no hypervisor"
