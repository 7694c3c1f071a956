"""A run of the suite: measures its setups, saves the results, and goes on after an interruption."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from xengt.bench import document
from xengt.bench.case import DECLARED, Setup
from xengt.bench.case_text import phrase, varying
from xengt.bench.document import BenchDocument
from xengt.bench.engines import EngineName, require_dom0
from xengt.bench.noise import QUIET, measure_noise
from xengt.bench.partial import find_incomplete
from xengt.bench.result import Result
from xengt.bench.run import Progress, run_plan
from xengt.bench.suite import SuitePlan, plan_suite
from xengt.documents.write import replace_json
from xengt.errors import UnmetError
from xengt.recovery.journal import Journal
from xengt.sharing import gntalloc
from xengt.xen.host import gather_host

Show = Callable[[Progress], None]
Say = Callable[[str], None]


def measure_suite(
    journal: Journal,
    *,
    granter: str,
    duration_s: float | None,
    digits: int,
    file: Path | None,
    show: Show,
    say: Say,
) -> BenchDocument:
    """Measure the suite, and save the results of each setup.

    Args:
        journal: locked, and without records of an earlier run.
        granter: the value of `--granter`.
        duration_s: seconds to measure each setup; None: ten minutes for all.
        digits: significant digits of the histograms.
        file: where the results so far are saved, and found after an interruption; None: nowhere.
        show: called with the progress.
        say: called with each message for the user.

    Raises:
        UnmetError: no setup can be measured, or there are results of another boot or another plan.
        FailedError: the measurement failed, or the results cannot be saved.
    """
    engines, dropped = _usable_engines(say)
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
    plan = replace(plan, left_out=tuple(dropped))
    found = find_incomplete(file, plan, host) if file else None
    results: list[Result] = []
    if found:
        host, results = found.host, list(found.results)
        say(f"continuing the suite: {file} has {len(results)} results")
    if "noise_ratio" not in host:
        noise_ratio = measure_noise(engines[0], granter, journal, show)
        host = {**host, "noise_ratio": noise_ratio}
        if noise_ratio > QUIET:
            say(
                f"this host is noisy: the medians of equal measurements differ by {noise_ratio:.0%}"
                "; stop guests, fix the frequency of the CPUs and pin dom0's vCPUs; `xengt check` "
                "reports more"
            )

    def save(of_setup: list[Result]) -> None:
        results.extend(of_setup)
        if file:
            replace_json(document.build(host, plan.to_json(), results).to_json(), file)

    measured = {result.case.setup for result in results}
    failed = _measure_setups(plan, journal, measured, show=show, say=say, save=save)
    made = replace(plan, complete=True, left_out=(*dropped, *failed))
    return document.build(host, made.to_json(), results)


def _usable_engines(say: Say) -> tuple[list[EngineName], list[str]]:
    """Return the engines that this dom0 can run, and why it cannot run the others."""
    usable, dropped = [], []
    for engine in EngineName:
        try:
            require_dom0([engine])
        except UnmetError as error:
            say(f"the suite leaves out the engine {engine}: {error.what}; {error.remedy}")
            dropped.append(f"engine {engine}: {error.what}")
        else:
            usable.append(engine)
    return usable, dropped


def _measure_setups(
    plan: SuitePlan,
    journal: Journal,
    measured: set[Setup],
    *,
    show: Show,
    say: Say,
    save: Callable[[list[Result]], None],
) -> Iterator[str]:
    """Measure the setups that are left, and yield why some could not be measured.

    Args:
        plan: the suite.
        journal: locked, and without records of an earlier run.
        measured: the setups that have been measured; this function adds others.
        show: called with the progress.
        say: called with each message for the user.
        save: called with the results of each setup.
    """
    last: Progress | None = None

    def note(progress: Progress) -> None:
        nonlocal last
        last = progress
        show(progress)

    differing = varying(plan.setups(), DECLARED)
    names = [name for name in DECLARED if name == "engine" or name in differing]
    while True:
        last = None
        try:
            with closing(run_plan(plan, journal, note, measured=frozenset(measured))) as new:
                for of_setup in new:
                    save(of_setup)
                    measured.add(of_setup[0].case.setup)
        except UnmetError as error:
            # Before the first setup, it is the granter that cannot be used.
            if last is None or last.setup in measured:
                raise
            measured.add(last.setup)
            reason = f"{phrase(last.setup, names)}: {error.what}"
            say(f"the suite leaves out {reason}; {error.remedy}")
            yield reason
        else:
            return
