"""The dashboard as a page: its own queries, asked of a Prometheus."""

from xml.etree.ElementTree import Element

from boardlib.asking import ranged
from boardlib.board import filled
from boardlib.drawn import Shown, drawn
from boardlib.panel import Panel
from boardlib.shown import ROWS
from xengt.report.html.elements import el, page

#: points of a line
_POINTS = 120
_STYLE = """
main { max-width: none; padding: 1.4rem 1.8rem 1.8rem; }
h1 { margin: 0; font-size: 1.7rem; }
h2 { margin: 1.5rem 0 .7rem; padding-top: .6rem; border-top: 2px solid var(--hair); }
.panels { grid-template-columns: repeat(5, 1fr); gap: 1rem 1.1rem; grid-auto-flow: dense; }
.panels > .wide { grid-column: 5; order: -1; }
.panels > :only-child { grid-column: auto; max-width: none; }
figcaption { color: var(--ink); font-size: .9rem; font-weight: 600; }
.legend { font-size: .74rem; line-height: 1.3; color: var(--soft); margin: .1rem 0 0 .6rem;
  display: flex; flex-wrap: wrap; gap: 0 .7rem; max-width: none; }
.legend i { display: inline-block; width: 1.1rem; border-top: 3px solid; margin-right: .35rem;
  vertical-align: .25em; }
.legend i.dashed { border-top-style: dashed; }
.mark.dashed path { stroke-dasharray: 5 4; }
.cells rect { fill: #0068a8; }
""" + "".join(
    f".c{place} path {{ stroke: {colour}; }} i.c{place} {{ border-color: {colour}; }}\n"
    for place, colour in enumerate(
        ("#0068a8", "#b54a00", "#2b8a5f", "#8a4fa8", "#5f7d95", "#b8902a", "#c2476a", "#3f8f9f")
    )
)


def drawn_page(url: str, instance: str, begin: float, end: float) -> str:
    """Return the page, as HTML: rows that have no data are left out.

    Args:
        url: of the Prometheus.
        instance: the box.
        begin: in seconds since the epoch.
        end: likewise.
    """
    times = (begin, end, max((end - begin) / _POINTS, 1.0))

    def shown(made: Panel) -> list[Shown]:
        # As Grafana does it: of four scrapes at least.
        rate = f"{max(times[2], 60):.0f}s"
        return [
            Shown(
                query.legend, query.dashed, ranged(url, filled(query.expr, instance, rate), times)
            )
            for query in made.queries
        ]

    rows: list[Element] = []
    said = ""
    for title, panels in ROWS.items():
        figures = []
        for made in panels:
            answers = shown(made)
            if not any(answer.series for answer in answers):
                continue
            if made.kind == "table":
                said = ", ".join(name for each in answers for name, _ in each.named())
            else:
                figures.append(drawn(made, filled(made.title, instance, ""), answers, (begin, end)))
        if figures:
            rows += [el("h2", title), el("div", *figures, class_="panels")]
    heading = (el("h1", "xengt: grants"), el("p", f"Xen {said}", class_="note"))
    return page("xengt: grants", el("style", _STYLE), *heading, *rows)
