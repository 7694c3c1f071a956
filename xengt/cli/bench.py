"""`xengt bench`: measure what mapping grants costs on this host."""

import sys
from typing import Annotated

import typer
from typer.models import OptionInfo

from xengt.bench import document
from xengt.bench import run as benchmark
from xengt.bench.plan import MAX_MAPPINGS, REFERENCES, BenchPlan
from xengt.cli import option_values, progress
from xengt.documents.write import write_json, write_text
from xengt.errors import UnmetError
from xengt.recovery import journal, sweep
from xengt.report import hdr_log
from xengt.report.html import bench_page
from xengt.report.terminal import bench_table
from xengt.report.terminal.console import console_on
from xengt.xen import host, preflight
from xenlib_cffi.call import MAX_BATCH

#: calls to time in each case, where neither samples nor a duration is given
SAMPLES = 10_000
#: seconds to wait for a round of the agent's probe
PATIENCE_S = 10.0

Several = list[str]


def _several(help_text: str, *default: str) -> OptionInfo:
    """An option of several values; what `values.several` makes of the words, it checks."""
    option: OptionInfo = typer.Option(
        help=help_text, default_factory=lambda: list(default), show_default=",".join(default)
    )
    return option


def bench(
    engine: Annotated[Several, _several("hypercall, gntdev.", "hypercall")],
    granter: Annotated[
        Several, _several("empty, self, guest, guest:NAME or guest:DOMID.", "empty")
    ],
    granters: Annotated[Several, _several("How many empty domains.", "1")],
    batch: Annotated[Several, _several(f"References a call, 1 to {MAX_BATCH}.", "1", "32")],
    threads: Annotated[Several, _several("Each pinned to a vCPU of its own.", "1")],
    mappings: Annotated[
        Several,
        _several(
            f"Mappings of each reference at once, 1 to {MAX_MAPPINGS}; the last is timed.", "1"
        ),
    ],
    readonly: Annotated[Several, _several("Map for reading alone: no, yes.", "no")],
    hold: Annotated[Several, _several("Further mappings outstanding while measuring.", "0")],
    references: Annotated[
        Several | None,
        typer.Option(help=f"References of each granter; {REFERENCES}, or what a batch needs."),
    ] = None,
    rate: Annotated[
        Several | None, typer.Option(help="Calls a second, of all threads; flat out without.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help=f"Calls to time in each case; {SAMPLES:,} without.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds to measure each case, instead.")
    ] = None,
    digits: Annotated[int, typer.Option(min=2, max=3, help="Significant digits kept.")] = 3,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the document here; - for stdout.")
    ] = None,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write the page here.")] = None,
    hdr: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write an HdrHistogram log here.")
    ] = None,
) -> None:
    """Measure the mapping and unmapping of grant references.

    What is measured is the product of all values given: an option that takes
    several is repeated, or given with commas.

    Example: xengt bench --engine hypercall,gntdev --batch 1,32 --threads 1,2 --html run.html
    """
    if samples is not None and duration is not None:
        raise UnmetError("--samples and --duration exclude each other", "give one of them")
    batches = option_values.several("--batch", batch, option_values.integer(1, MAX_BATCH))
    workers = option_values.several("--threads", threads, option_values.integer(1))
    plan = BenchPlan(
        engine=option_values.several(
            "--engine", engine, option_values.one_of("hypercall", "gntdev")
        ),
        granter=option_values.several("--granter", granter, option_values.granter),
        granters=option_values.several("--granters", granters, option_values.integer(1)),
        references=option_values.several("--references", references, option_values.integer(1))
        if references
        else [max(REFERENCES, max(batches) * max(workers))],
        batch=batches,
        threads=workers,
        mappings=option_values.several(
            "--mappings", mappings, option_values.integer(1, MAX_MAPPINGS)
        ),
        readonly=[
            word == "yes"
            for word in option_values.several(
                "--readonly", readonly, option_values.one_of("no", "yes")
            )
        ],
        hold=option_values.several("--hold", hold, option_values.integer(0)),
        rate=option_values.several("--rate", rate, option_values.positive) if rate else [None],
        samples=None if duration else samples or SAMPLES,
        duration_s=duration,
        digits=digits,
    )
    plan.setups()  # what cannot be is refused before anything is started
    preflight.require_dom0(plan.engine)
    with preflight.library_errors_explained(), journal.open_journal(timeout_s=PATIENCE_S) as book:
        cleared = sweep.clean_up(book)
        if cleared:
            print(f"xengt: {cleared}", file=sys.stderr)
        with progress.progress_display() as show:
            results = list(benchmark.run_plan(plan, book, show))
        made = document.build(host.gather_host(), plan.to_json(), results)
    # With the document on standard output, the table is for whoever reads standard error.
    bench_table.show(made, console_on(sys.stderr if json == "-" else sys.stdout))
    if json:
        write_json(made.to_json(), json)
    if html:
        write_text(bench_page.render(made), html)
    if hdr:
        write_text(hdr_log.render(made), hdr)
