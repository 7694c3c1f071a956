"""`xengt bench --suite`: measures the selection of cases, and goes on after an interruption."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

from xengt.bench import document
from xengt.bench.case import Setup
from xengt.bench.dimensions import phrase
from xengt.bench.document import BenchDocument
from xengt.bench.engines.names import EngineName
from xengt.bench.noise import QUIET, measure_noise
from xengt.bench.partial import find_incomplete, partial_file
from xengt.bench.result import Result
from xengt.bench.run import Progress, run_plan
from xengt.bench.suite import SuitePlan, plan_suite
from xengt.cli.progress import progress_display
from xengt.documents.write import replace_json
from xengt.errors import UnmetError
from xengt.recovery.journal import Journal
from xengt.sharing import gntalloc
from xengt.xen.host import Host, gather_host
from xengt.xen.preflight import require_dom0

DIMENSIONS_OF_SETUP = ("engine", "batch", "threads", "mappings", "touch", "bytes")
"""The dimensions in which the setups of a suite differ."""


def measure_suite(
    records: Journal, *, granter: str, duration_s: float | None, digits: int, target: str | None
) -> BenchDocument:
    """Measure the suite, and save the results of each setup.

    Args:
        records: the journal, locked.
        granter: the value of `--granter`.
        duration_s: seconds to measure each setup; None: ten minutes for all.
        digits: significant digits of the histograms.
        target: the value of `--json`; the results so far are saved beside this file.

    Raises:
        UnmetError: no setup can be measured, or there are results of another boot or another plan.
        FailedError: the measurement failed, or the results cannot be saved.
    """
    engines = list(_usable_engines())
    host = gather_host()
    plan = plan_suite(
        engines,
        host["dom0_vcpus"],
        # The granter self takes its pages from the same limit.
        copy_pages=(gntalloc.page_limit() or 0) // (2 if granter == "self" else 1),
        granter=granter,
        duration_s=duration_s,
        digits=digits,
    )
    file = partial_file(target)
    found = find_incomplete(file, plan, host) if file else None
    results: list[Result] = []
    if found:
        host, results = found.host, list(found.results)
        _say(f"continuing the suite: {file} has {len(results)} results")
    with progress_display() as show:
        if "noise_ratio" not in host:
            host = {**host, "noise_ratio": measure_noise(engines[0], granter, records, show)}
            _warn_about_noise(host)

        def save(of_setup: list[Result]) -> None:
            results.extend(of_setup)
            if file:
                replace_json(document.build(host, plan.to_json(), results).to_json(), file)

        measured = {result.case.setup for result in results}
        left_out = tuple(_measure_setups(plan, records, show, measured, save))
    made = replace(plan, complete=True, left_out=left_out)
    return document.build(host, made.to_json(), results)


def _measure_setups(
    plan: SuitePlan,
    records: Journal,
    show: Callable[[Progress], None],
    measured: set[Setup],
    save: Callable[[list[Result]], None],
) -> Iterator[str]:
    """Measure the setups that are left, and yield why some could not be measured.

    Args:
        plan: the suite.
        records: the journal, locked.
        show: called with the progress.
        measured: the setups that have been measured; this function adds others.
        save: called with the results of each setup.
    """
    last: Progress | None = None

    def note(progress: Progress) -> None:
        nonlocal last
        last = progress
        show(progress)

    while True:
        last = None
        try:
            with closing(run_plan(plan, records, note, measured=frozenset(measured))) as new:
                for of_setup in new:
                    save(of_setup)
                    measured.add(of_setup[0].case.setup)
        except UnmetError as error:
            # Before the first setup, it is the granter that cannot be used.
            if last is None or last.setup in measured:
                raise
            measured.add(last.setup)
            reason = f"{phrase(last.setup, DIMENSIONS_OF_SETUP)}: {error.what}"
            _say(f"the suite leaves out {reason}; {error.remedy}")
            yield reason
        else:
            return


def _say(text: str) -> None:
    print(f"xengt: {text}", file=sys.stderr)


def _usable_engines() -> Iterator[EngineName]:
    for engine in EngineName:
        try:
            require_dom0([engine])
        except UnmetError as error:
            _say(f"the suite leaves out the engine {engine}: {error.what}; {error.remedy}")
        else:
            yield engine


def _warn_about_noise(host: Host) -> None:
    ratio = host["noise_ratio"]
    if ratio > QUIET:
        _say(
            f"this host is noisy: the medians of equal measurements differ by {ratio:.0%}; stop "
            "guests, fix the frequency of the CPUs and pin dom0's vCPUs; `xengt check` reports more"
        )
