"""`xengt bench`: measure what mapping grants costs on this host."""

import inspect
from collections.abc import Callable
from typing import Annotated

import typer
from typer.models import OptionInfo

from xengt.bench import document
from xengt.bench.case import DECLARED
from xengt.bench.dimension import Dimension
from xengt.bench.document import BenchDocument
from xengt.bench.engines import require_dom0
from xengt.bench.partial import forget_partial
from xengt.bench.plan import BenchPlan, with_defaults
from xengt.bench.run import run_plan
from xengt.cli.clean_journal import clean_journal
from xengt.cli.json_option import JsonTarget
from xengt.cli.option_values import several
from xengt.cli.outputs import Outputs
from xengt.cli.progress import progress_display
from xengt.cli.suite import run_suite
from xengt.documents.write import json_text
from xengt.errors import UnmetError
from xengt.report import hdr_log, suite_text
from xengt.report.html import bench_page
from xengt.report.terminal import bench_table
from xengt.report.terminal.console import print_lines
from xengt.xen.host import gather_host

SAMPLES = 10_000
"""Calls to time in each setup, unless --samples or --duration is given."""


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
        typer.Option(min=1, help="Calls to time in each setup.", show_default=f"{SAMPLES:,}"),
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds per setup, instead of --samples.")
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
            help="Measure a selection of setups that describes a host, in about ten minutes: maps "
            "and copies by batch, size and threads. It can be combined with --granter, --duration "
            "(seconds per setup), --digits and the output options. Repeat the same command in the "
            "same boot to continue an interrupted suite; this requires --json=FILE, and the "
            "results so far are in FILE.partial.",
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

    Each combination of the given values, a setup, is measured. An option that accepts
    several values can be repeated, or given values separated by commas. If the
    document is printed (--json), the table goes to standard error.

    Example: xengt bench --engine hypercall,gntdev --batch 1,32 --html run.html --json=run.json
    """
    outputs = Outputs({"--json": as_json, "--html": html, "--hdr": hdr, "--text": text})
    if samples is not None and duration is not None:
        raise UnmetError("--samples and --duration cannot be used together", "give one of them")
    if text is not None and not suite:
        raise UnmetError("--text has no effect without --suite", "add --suite, or use --html")
    values = {
        name: several(f"--{name}", words, DECLARED[name].parse)
        for name, words in dimensions.items()
        if words
    }
    if suite:
        target = outputs.targets.get("--json")
        made = run_suite(values, samples=samples, duration_s=duration, digits=digits, target=target)
    else:
        made = _measure(
            BenchPlan(
                values=with_defaults(values),
                samples=None if duration else samples or SAMPLES,
                duration_s=duration,
                digits=digits,
            )
        )
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
            forget_partial(target)
    finally:
        if suite:
            print_lines(outputs.console, [suite_text.render(made).rstrip()])
        else:
            bench_table.show(made, outputs.console)


def _measure(plan: BenchPlan) -> BenchDocument:
    plan.setups()  # Refuses what cannot be measured before anything is started.
    require_dom0(plan.values["engine"])
    with clean_journal() as journal:
        with progress_display() as show:
            of_setups = list(run_plan(plan, journal, show))
        results = [result for of_setup in of_setups for result in of_setup]
        return document.build(gather_host(), plan.to_json(), results)
