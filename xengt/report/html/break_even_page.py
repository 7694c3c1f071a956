"""The break-even of mapping and copying as a self-contained HTML page."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from xengt.break_even import BreakEvenDocument, BreakEvenRow
from xengt.report.break_even_text import (
    EXPLANATION,
    format_crossing,
    format_interval,
    format_quotient,
    notes,
    shared_values,
    title_of,
)
from xengt.report.elements import el
from xengt.report.html.host_facts import host_facts
from xengt.report.html.page import list_section, page, table
from xengt.report.quantity import PERCENT_CONFIDENCE
from xengt.report.svg.break_even import draw_break_evens

_TITLE = "Mapping or copying: break-even"
_METHOD = (
    (
        "A mapping costs the same for one byte as for the whole page, and a copy costs more the "
        "more is copied. What is done with a mapped page before it is unmapped (the touch) is part "
        "of the cost of the mapping: a processor that reads a mapped page fetches it into its "
        "caches, where a copy already has it. Without a touch, only a device accesses the page."
    ),
    (
        "The break-even is the number of bytes at which the cost of copying reaches that of "
        "mapping. The confidence interval follows from Student's t intervals of the difference of "
        f"both at each number of bytes ({PERCENT_CONFIDENCE}), whose sampling unit is a run in its "
        "own boot."
    ),
    (
        "Persistent grants stay mapped, so that a page costs a copy in memory only. Memory that "
        "granters must keep for them, and a backend's search for a mapping, are not included."
    ),
)


def render(document: BreakEvenDocument) -> str:
    """Return the page of a document.

    Args:
        document: the break-evens.
    """
    rows, run = document.rows, document.runs[0]
    files = ", ".join(f"{each.path} (boot {each.boot_id[:8]})" for each in document.runs)
    return page(
        _TITLE,
        el(
            "header",
            el("p", "xengt break-even", class_="overline"),
            el("h1", _TITLE),
            host_facts(run.document.host, ("Runs", files)),
        ),
        *list_section("Limitations", notes(document)),
        el("h2", "Costs"),
        el(
            "p",
            "Cost per page against the number of bytes, measurement overhead excluded; "
            f"{shared_values(rows)}. Mapping is cheaper where its curve "
            "is below that of the copy, from the granter or to it.",
            class_="note",
        ),
        draw_break_evens(rows, document.clock),
        el("h2", "Break-even"),
        table_of(rows),
        el("h2", "Method"),
        *(el("p", paragraph) for paragraph in _METHOD),
    )


def table_of(rows: Sequence[BreakEvenRow]) -> Element:
    """Return the table of the rows of a document.

    Args:
        rows: the rows, at least one.
    """
    sizes = sorted({each.bytes for row in rows for each in row.sizes})
    texts = ("mapping or copying", "direction")
    figures = (*(f"{size:,} B" for size in sizes), "break-even", f"{PERCENT_CONFIDENCE} interval")
    return table(
        EXPLANATION,
        el(
            "tr",
            *(el("th", title, scope="col", class_="text") for title in texts),
            *(el("th", title, scope="col") for title in figures),
        ),
        [
            el(
                "tr",
                el("td", title_of(row, rows), class_="text"),
                el("td", row.operation, class_="text"),
                *(el("td", format_quotient(row, size)) for size in sizes),
                el("td", format_crossing(row.value, row.sizes[-1].bytes), class_="strong"),
                el("td", format_interval(row)),
            )
            for row in rows
        ],
    )
