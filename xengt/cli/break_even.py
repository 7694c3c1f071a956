"""`xengt break-even`: the copy size from which mapping is cheaper."""

from typing import Annotated

import typer

from xengt.break_even import compare_alternatives
from xengt.cli.json_option import JsonTarget
from xengt.cli.outputs import Outputs
from xengt.documents.write import json_text
from xengt.report.html import break_even_page
from xengt.report.terminal import break_even_table


def break_even(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN.json...",
            show_default=False,
            help="Documents from `xengt bench --json` of one host, with engines that map and "
            "engines that copy.",
        ),
    ],
    as_json: JsonTarget = None,
    html: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", show_default=False, help="Write the break-evens as HTML to FILE."
        ),
    ] = None,
) -> None:
    """Report the copy size from which mapping a granted page is cheaper.

    The costs of a map, a touch and an unmap are compared with that of a copy:
    by hypercall (engines hypercall and copy), from user space (gntdev and
    gntdev-copy), and of persistent grants (persistent). A document is one run,
    and several runs, each in its own boot, give confidence intervals. If the
    document is printed (--json), the table goes to standard error.

    Measure with: xengt bench --engine gntdev,gntdev-copy --touch none,copy --bytes 64,512,1500,4096

    Example: xengt break-even run-*.json --html break-even.html
    """
    outputs = Outputs({"--json": as_json, "--html": html})
    outputs.spare_runs()
    document = compare_alternatives(files)
    try:
        outputs.write(
            {
                "--json": lambda: json_text(document.to_json()),
                "--html": lambda: break_even_page.render(document),
            }
        )
    finally:
        break_even_table.show(document, outputs.console)
