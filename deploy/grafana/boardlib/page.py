"""The dashboard as an HTML page, with data queried from a Prometheus."""

from xml.etree.ElementTree import Element

from boardlib.boards import HOST
from boardlib.panel import Panel
from boardlib.prometheus_api import query_range
from boardlib.svg import QueryResult, draw_panel
from boardlib.variables import interpolate
from xengt.report.elements import el
from xengt.report.html.page import page

_POINTS_PER_LINE = 120
#: Grafana's $__rate_interval is four scrape intervals at least.
_MIN_RATE_INTERVAL_S = 60
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


def render_page(url: str, instance: str, begin: float, end: float) -> str:
    """Return the dashboard of one instance as HTML; panels and rows without data are left out.

    Args:
        url: base URL of the Prometheus.
        instance: value of the label `instance`.
        begin: in seconds since the epoch.
        end: in seconds since the epoch.

    Raises:
        OSError: the Prometheus cannot be reached, or rejects a query.
    """
    times = (begin, end, max((end - begin) / _POINTS_PER_LINE, 1.0))
    rate_interval = f"{max(times[2], _MIN_RATE_INTERVAL_S):.0f}s"

    def query(panel: Panel) -> list[QueryResult]:
        return [
            QueryResult(
                each.legend,
                each.dashed,
                query_range(url, interpolate(each.expr, instance, rate_interval), times),
            )
            for each in panel.queries
        ]

    rows: list[Element] = []
    hypervisor = ""
    for row_title, panels in HOST.rows.items():
        figures = []
        for panel in panels:
            results = query(panel)
            if not any(result.series for result in results):
                continue
            if panel.kind == "table":
                hypervisor = ", ".join(name for each in results for name, _ in each.named())
            else:
                title = interpolate(panel.title, instance, "")
                figures.append(draw_panel(panel, title, results, (begin, end)))
        if figures:
            rows += [el("h2", row_title), el("div", *figures, class_="panels")]
    heading = (el("h1", HOST.title), el("p", f"Xen {hypervisor}", class_="note"))
    return page(HOST.title, el("style", _STYLE), *heading, *rows)
