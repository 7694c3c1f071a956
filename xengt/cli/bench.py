"""`xengt bench`: measure what mapping grants costs on this host."""

import sys
from typing import Annotated

import typer
from typer.models import OptionInfo

from xengt import bench as benchmark
from xengt import document, dom0, host, journal, leftovers
from xengt.cli import progress, values
from xengt.errors import UnmetError
from xengt.plan import REFERENCES, Plan
from xengt.report import hdr as hdr_log
from xengt.report import page, table
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
        Several, _several("Mappings of each reference at once, 1 to 3; the last is timed.", "1")
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
    batches = values.several("--batch", batch, values.integer(1, MAX_BATCH))
    workers = values.several("--threads", threads, values.integer(1))
    plan = Plan(
        engine=values.several("--engine", engine, values.one_of("hypercall", "gntdev")),
        granter=values.several("--granter", granter, values.granter),
        granters=values.several("--granters", granters, values.integer(1)),
        references=values.several("--references", references, values.integer(1))
        if references
        else [max(REFERENCES, max(batches) * max(workers))],
        batch=batches,
        threads=workers,
        mappings=values.several("--mappings", mappings, values.integer(1, 3)),
        readonly=[
            word == "yes"
            for word in values.several("--readonly", readonly, values.one_of("no", "yes"))
        ],
        hold=values.several("--hold", hold, values.integer(0)),
        rate=values.several("--rate", rate, values.positive) if rate else [None],
        samples=None if duration else samples or SAMPLES,
        duration_s=duration,
        digits=digits,
    )
    plan.setups()  # what cannot be is refused before anything is started
    dom0.require(plan.engine)
    with dom0.failures_told(), journal.opened(patience_s=PATIENCE_S) as book:
        cleared = leftovers.clear(book)
        if cleared:
            print(f"xengt: {cleared}", file=sys.stderr)
        with progress.shown() as show:
            results = list(benchmark.run(plan, book, show))
        made = document.build(host.gather(), plan.to_json(), results)
    # With the document on standard output, the table is for whoever reads standard error.
    table.show(made, table.console_on(sys.stderr if json == "-" else sys.stdout))
    if json:
        document.write_json(made.to_json(), json)
    if html:
        document.write_text(page.render(made), html)
    if hdr:
        document.write_text(hdr_log.render(made), hdr)
