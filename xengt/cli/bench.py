"""`xengt bench`: measure what mapping grants costs on this host."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.models import OptionInfo

from xengt.bench import document
from xengt.bench.case import DECLARED, EMPTY_GRANTER
from xengt.bench.dimension import Dimension
from xengt.bench.partial import forget_partial
from xengt.bench.plan import BenchPlan, with_defaults
from xengt.bench.run import run_plan
from xengt.cli.json_option import JsonTarget
from xengt.cli.option_values import several
from xengt.cli.outputs import Outputs
from xengt.cli.progress import progress_display
from xengt.cli.suite import measure_suite
from xengt.documents.write import json_text
from xengt.errors import UnmetError
from xengt.recovery import journal, sweep
from xengt.recovery.journal import Journal
from xengt.report import hdr_log, suite_text
from xengt.report.html import bench_page
from xengt.report.terminal import bench_table
from xengt.report.terminal.console import print_lines
from xengt.xen.host import gather_host
from xengt.xen.preflight import library_errors_explained, require_dom0

SAMPLES = 10_000
"""Calls to time in each case, unless --samples or --duration is given."""
LOCK_TIMEOUT_S = 10.0
"""Seconds to wait for a round of the agent's probe, which would disturb the measurement."""


def _option(declared: Dimension) -> OptionInfo:
    """Return the option of a dimension; `several` checks the values that are given."""
    default = declared.default_text or ",".join(declared.default)
    option: OptionInfo = typer.Option(
        help=declared.description,
        metavar="VALUE[,...]",
        default_factory=list,
        show_default=default,
    )
    return option


def _dimension_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each dimension, in the signature that typer reads."""
    signature = inspect.signature(function)
    options = {name: Annotated[list[str], _option(declared)] for name, declared in DECLARED.items()}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
        for name, annotation in options.items()
    ]
    others = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    function.__signature__ = signature.replace(parameters=[*parameters, *others])  # type: ignore[attr-defined]
    del function.__annotations__["dimensions"]
    function.__annotations__ |= options
    return function


@_dimension_options
def bench(
    *,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Calls to time in each case.", show_default=f"{SAMPLES:,}"),
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds per case, instead of --samples.")
    ] = None,
    digits: Annotated[
        int, typer.Option(min=2, max=3, help="Significant digits of the histograms.")
    ] = 3,
    as_json: JsonTarget = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the HTML page to FILE.")
    ] = None,
    hdr: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write an HdrHistogram log to FILE.")
    ] = None,
    suite: Annotated[
        bool,
        typer.Option(
            "--suite",
            help="Measure a selection of cases that describes a host, in about ten minutes: maps "
            "and copies by batch, size and threads. Of the other options, --granter, --duration "
            "and --digits apply. The same command continues an interrupted suite: with "
            "--json=FILE, FILE.partial has the results so far.",
        ),
    ] = False,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write a text for a mail or an issue to FILE; only with --suite."
        ),
    ] = None,
    **dimensions: list[str],
) -> None:
    """Measure the mapping and unmapping of grant references, and the copying of their pages.

    All combinations of the given values are measured. An option that accepts
    several values can be repeated, or given values separated by commas. If the
    document is printed (--json), the table goes to standard error.

    Example: xengt bench --engine hypercall,gntdev --batch 1,32 --html run.html --json=run.json
    """
    outputs = Outputs({"--json": as_json, "--html": html, "--hdr": hdr, "--text": text})
    if samples is not None and duration is not None:
        raise UnmetError("--samples and --duration exclude each other", "give one of them")
    if text is not None and not suite:
        raise UnmetError("--text has no effect without --suite", "add --suite, or use --html")
    values = {
        name: several(f"--{name}", words, DECLARED[name].parse)
        for name, words in dimensions.items()
        if words
    }
    if suite:
        granter = _granter_of_suite(values, samples)
        require_dom0([])
        with _journal() as records:
            made = measure_suite(
                records,
                granter=granter,
                duration_s=duration,
                digits=digits,
                target=outputs.targets.get("--json"),
            )
    else:
        plan = BenchPlan(
            values=with_defaults(values),
            samples=None if duration else samples or SAMPLES,
            duration_s=duration,
            digits=digits,
        )
        plan.setups()  # Refuses what cannot be measured before anything is started.
        require_dom0(plan.values["engine"])
        with _journal() as records:
            with progress_display() as show:
                of_setups = list(run_plan(plan, records, show))
            results = [result for of_setup in of_setups for result in of_setup]
            made = document.build(gather_host(), plan.to_json(), results)
    try:  # The table comes last: who reads it may stop, and the files are complete then.
        outputs.write(
            {
                "--json": lambda: json_text(made.to_json()),
                "--html": lambda: bench_page.render(made),
                "--hdr": lambda: hdr_log.render(made),
                "--text": lambda: suite_text.render(made),
            }
        )
        if suite:
            forget_partial(outputs.targets.get("--json"))
    finally:
        if suite:
            print_lines(outputs.console, [suite_text.render(made).rstrip()])
        else:
            bench_table.show(made, outputs.console)


def _granter_of_suite(values: Mapping[str, Sequence[Any]], samples: int | None) -> str:
    """Return the value of --granter; refuse options that a suite ignores."""
    ignored = [f"--{name}" for name in values if name != "granter"]
    if samples is not None:
        ignored.append("--samples")
    if ignored:
        raise UnmetError(
            f"{ignored[0]} has no effect with --suite, which selects the cases",
            f"leave out {ignored[0]}, or --suite",
        )
    granters = values.get("granter", [EMPTY_GRANTER])
    if len(granters) > 1:
        raise UnmetError("--suite has one granter", "give one value of --granter")
    return str(granters[0])


@contextmanager
def _journal() -> Iterator[Journal]:
    """Open the journal, and clean up after a killed run."""
    with library_errors_explained(), journal.open_journal(timeout_s=LOCK_TIMEOUT_S) as records:
        summary = sweep.clean_up(records)
        if summary:
            print(f"xengt: {summary}", file=sys.stderr)
        yield records
