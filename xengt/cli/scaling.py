"""`xengt scaling`: how throughput scales with the number of threads."""

from typing import Annotated

import typer

from xengt.cli.json_option import JsonTarget
from xengt.cli.outputs import Outputs
from xengt.documents.write import json_text
from xengt.report.html import scaling_page
from xengt.report.terminal import scaling_table
from xengt.scaling import fit_runs


def scaling(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN.json...",
            show_default=False,
            help="Documents from `xengt bench --json` of one host, with several values of "
            "--threads.",
        ),
    ],
    as_json: JsonTarget = None,
    html: Annotated[
        str | None,
        typer.Option(metavar="FILE", show_default=False, help="Write the laws as HTML to FILE."),
    ] = None,
) -> None:
    """Report how throughput scales with threads, as a universal scalability law.

    The law has three coefficients: the throughput of one thread, contention
    (the serial part of an operation) and coherency (the cost of each pair of
    threads, which makes throughput fall beyond a peak). If the document is
    printed (--json), the table goes to standard error.

    Measure with: xengt bench --threads 1,2,4,8,16 --batch 1,32 --json=run.json

    Example: xengt scaling run-*.json --html scaling.html
    """
    outputs = Outputs({"--json": as_json, "--html": html})
    outputs.spare_runs()
    document = fit_runs(files)
    try:
        outputs.write(
            {
                "--json": lambda: json_text(document.to_json()),
                "--html": lambda: scaling_page.render(document),
            }
        )
    finally:
        scaling_table.show(document, outputs.console)
