"""`xengt bench --suite`: measures the selection of cases, and goes on after an interruption."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from xengt.bench import document
from xengt.bench.document import BenchDocument
from xengt.bench.engines.names import EngineName
from xengt.bench.noise import QUIET, measure_noise
from xengt.bench.partial import find_incomplete
from xengt.bench.result import Result
from xengt.bench.run import run_plan
from xengt.bench.suite import plan_suite
from xengt.cli.progress import progress_display
from xengt.documents.write import STANDARD_OUTPUT, replace_json
from xengt.errors import UnmetError
from xengt.recovery.journal import Journal
from xengt.sharing import gntalloc
from xengt.xen.host import Host, gather_host
from xengt.xen.preflight import require_dom0


def measure_suite(
    records: Journal, *, granter: str, duration_s: float | None, target: str | None
) -> BenchDocument:
    """Measure the suite, and save the results of each setup.

    Args:
        records: the journal, locked.
        granter: the value of `--granter`.
        duration_s: seconds to measure each setup; None: ten minutes for all.
        target: the value of `--json`; the results so far are saved only if it is a file.

    Raises:
        UnmetError: a setup cannot be measured, or the file has an incomplete suite of another boot
            or with other options.
        FailedError: the measurement failed, or the file cannot be written.
    """
    engines = list(_usable_engines())
    host = gather_host()
    plan = plan_suite(
        engines,
        host["dom0_vcpus"],
        copy_pages=gntalloc.page_limit() or 0,
        granter=granter,
        duration_s=duration_s,
    )
    file = _regular_file(target)
    found = find_incomplete(file, plan, host) if file else None
    if found:
        host = found.host
        print(
            f"xengt: continuing the suite in {file}: {len(found.results)} results exist",
            file=sys.stderr,
        )
    results: list[Result] = list(found.results) if found else []
    with progress_display() as show:
        if "noise_ratio" not in host:
            host = {**host, "noise_ratio": measure_noise(engines[0], granter, records, show)}
            _warn_about_noise(host)
        measured = {result.case.setup for result in results}
        new = run_plan(plan, records, show, measured=measured)
        for _, of_setup in groupby(new, key=lambda result: result.case.setup):
            results += of_setup
            if file:
                replace_json(document.build(host, plan.to_json(), results).to_json(), file)
    return document.build(host, replace(plan, complete=True).to_json(), results)


def _usable_engines() -> Iterator[EngineName]:
    for engine in EngineName:
        try:
            require_dom0([engine])
        except UnmetError as error:
            print(
                f"xengt: the suite leaves out the engine {engine}: {error.what}; {error.remedy}",
                file=sys.stderr,
            )
        else:
            yield engine


def _warn_about_noise(host: Host) -> None:
    ratio = host["noise_ratio"]
    if ratio > QUIET:
        print(
            f"xengt: this host is noisy: the medians of equal measurements differ by {ratio:.0%}; "
            "stop guests, fix the frequency of the CPUs and pin dom0's vCPUs; `xengt check` "
            "reports more",
            file=sys.stderr,
        )


def _regular_file(target: str | None) -> Path | None:
    if target is None or target == STANDARD_OUTPUT:
        return None
    path = Path(target)
    return None if path.exists() and not path.is_file() else path
