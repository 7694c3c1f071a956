"""The `xengt.scaling/1` document: throughput over threads, with a fitted scalability law.

`xengt/documents/scaling.schema.json` says what every key means and in which unit.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import xengt
from xengt.bench.case import Setup
from xengt.bench.document import BenchDocument
from xengt.documents.timestamp import timestamp
from xengt.errors import UnmetError
from xengt.runs.run_file import RunFile, load_runs
from xengt.scaling.law import Coefficient, ScalingLaw, fit_law
from xengt.statistics.confidence import CONFIDENCE

SCHEMA = "xengt.scaling/1"
METHOD = "least squares of logarithms, Student's t by the delta method"


@dataclass(frozen=True, slots=True)
class ScalingRow:
    """The scaling of one setup.

    Args:
        setup: the setup, except its number of threads.
        points: the number of threads and the throughput of each measurement, in operations per
            second over all threads, in ascending order of threads.
        law: the law that was fitted to the points.
    """

    setup: Setup
    points: tuple[tuple[int, float], ...]
    law: ScalingLaw

    @property
    def means(self) -> dict[int, float]:
        """The mean throughput over the runs, by number of threads."""
        threads = dict.fromkeys(number for number, _ in self.points)
        return {n: fmean(value for each, value in self.points if each == n) for n in threads}

    def to_json(self) -> dict[str, Any]:
        """Return the row as an entry of `results` in `scaling.schema.json`."""
        setup = {name: value for name, value in asdict(self.setup).items() if name != "threads"}
        law = self.law
        return {
            **setup,
            "throughputs": [
                {
                    "threads": threads,
                    "throughput_per_s": {
                        "mean": mean,
                        "runs": [value for each, value in self.points if each == threads],
                    },
                    "modelled_per_s": law.throughput_per_s(threads),
                }
                for threads, mean in self.means.items()
            ],
            "thread_throughput_per_s": _coefficient(law.thread_throughput_per_s),
            "contention": _coefficient(law.contention),
            "coherency": _coefficient(law.coherency) if law.coherency else None,
            "peak_threads": law.peak_threads,
            "relative_residual": law.relative_residual,
        }


@dataclass(frozen=True, slots=True)
class ScalingDocument:
    """How throughput scales in the runs of one host.

    Args:
        runs: the runs.
        rows: a row for each setup that was measured with several numbers of threads.
    """

    runs: tuple[RunFile, ...]
    rows: tuple[ScalingRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document as `scaling.schema.json` describes it."""
        return {
            "schema": SCHEMA,
            "xengt": xengt.__version__,
            "created": timestamp(),
            "interval": {"method": METHOD, "confidence": CONFIDENCE},
            "runs": [run.to_json() for run in self.runs],
            "results": [row.to_json() for row in self.rows],
        }


def fit_runs(paths: Sequence[str]) -> ScalingDocument:
    """Fit the law to the throughputs of runs.

    Args:
        paths: bench documents, one for each run of one host.

    Raises:
        UnmetError: a file is not a bench document, its clock counts instructions, or no setup was
            measured with several numbers of threads.
    """
    runs = load_runs(paths)
    for run in runs:
        if run.clock == "instructions":
            raise UnmetError(
                f"{run.path} counts instructions of one vCPU, and has no throughput",
                "measure on a host, or in a lab without --exact",
            )
    rows = tuple(find_laws([run.document for run in runs]))
    if not rows:
        raise UnmetError(
            "no setup was measured with one thread and with at least one other number of threads "
            "(setups with --rate do not count)",
            "measure with `xengt bench --threads 1,2,4,...`",
        )
    return ScalingDocument(runs, rows)


def find_laws(documents: Sequence[BenchDocument]) -> Iterator[ScalingRow]:
    """Yield a row for each setup whose throughputs determine a law.

    Those of a setup need several numbers of threads. Without one thread among them, they may not
    determine its throughput.

    Args:
        documents: bench documents of one host, whose clock measures time.
    """
    groups: dict[Setup, dict[tuple[int, int], float]] = {}
    for number, document in enumerate(documents):
        for result in document.results:
            setup = result.case.setup
            if setup.rate is not None:
                continue  # the throughput is the rate
            throughputs = groups.setdefault(replace(setup, threads=1), {})
            # All operations of a loop have the same throughput.
            throughputs.setdefault((setup.threads, number), result.throughput_per_s)
    for setup, throughputs in groups.items():
        points = tuple((threads, value) for (threads, _), value in sorted(throughputs.items()))
        with suppress(ValueError):
            yield ScalingRow(setup, points, fit_law(points))


def _coefficient(coefficient: Coefficient) -> dict[str, float | None]:
    return {"value": coefficient.value, "low": coefficient.low, "high": coefficient.high}
