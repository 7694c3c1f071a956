"""Scalability laws as a self-contained HTML page."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from xengt.report.elements import el
from xengt.report.html.host_facts import host_facts
from xengt.report.html.page import list_section, page, table
from xengt.report.quantity import rate
from xengt.report.scaling_text import (
    EXPLANATION,
    format_coefficient,
    format_peak,
    format_residual,
    notes,
    shared_values,
    title_of,
)
from xengt.report.svg.scaling import draw_scaling
from xengt.scaling import ScalingDocument, ScalingRow

_TITLE = "Throughput over threads"
_METHOD = (
    "The law is fitted by least squares of the logarithms of measured over modelled throughput, "
    "because noise is relative. Contention and coherency are not negative. The intervals follow "
    "from the residuals (delta method, Student's t), and each throughput counts as an independent "
    "measurement. A law describes the measured numbers of threads; beyond them it extrapolates."
)
_COLUMNS = ("one thread", "contention", "coherency", "peak at threads", "residual")


def render(document: ScalingDocument) -> str:
    """Return the page of a document.

    Args:
        document: the laws.
    """
    rows = document.rows
    files = ", ".join(f"{each.path} (boot {each.boot_id[:8]})" for each in document.runs)
    return page(
        _TITLE,
        el(
            "header",
            el("p", "xengt scaling", class_="overline"),
            el("h1", _TITLE),
            host_facts(document.runs[0].document.host, ("Runs", files)),
        ),
        *list_section("Limitations", notes(document)),
        el("h2", "Throughput"),
        el(
            "p",
            f"Operations per second over all threads; {shared_values(rows)}. Dots are means over "
            "the runs, the smooth curve is the fitted law.",
            class_="note",
        ),
        draw_scaling(rows),
        el("h2", "Laws"),
        table_of(rows),
        el("h2", "Method"),
        el("p", _METHOD),
    )


def table_of(rows: Sequence[ScalingRow]) -> Element:
    """Return the table of the rows of a document.

    Args:
        rows: the rows, at least one.
    """
    return table(
        EXPLANATION,
        el(
            "tr",
            el("th", "case", scope="col", class_="text"),
            *(el("th", title, scope="col") for title in _COLUMNS),
        ),
        [
            el(
                "tr",
                el("td", title_of(row, rows), class_="text"),
                el("td", rate(row.law.thread_throughput_per_s.value)),
                el("td", format_coefficient(row.law.contention), class_="strong"),
                el("td", format_coefficient(row.law.coherency), class_="strong"),
                el("td", format_peak(row)),
                el("td", format_residual(row)),
            )
            for row in rows
        ],
    )
