"""The dashboard as Grafana has it."""

import json

from boardlib.panel import DATASOURCE, Json, Panel
from boardlib.shown import BOX, ROWS

_COLUMNS = 24
#: variables besides the datasource and the box: labels of a case, for the heatmap
_CASE = {"engine": "hypercall", "batch": "32", "mappings": "1", "operation": "map"}


def text() -> str:
    """Return it, as it is checked in."""
    return json.dumps(board(), indent=1) + "\n"


def board() -> Json:
    """Return it."""
    panels: list[Json] = []
    y = 0
    for title, shown in ROWS.items():
        panels.append(_row(title, len(panels) + 1, y))
        y = _placed(shown, panels, y + 1)
    return {
        "uid": "xengt",
        "title": "xengt: grants",
        "description": "What mapping grants costs on a box, and how full its tables are.",
        "tags": ["xen", "xengt"],
        "schemaVersion": 36,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": panels,
    }


def _row(title: str, number: int, y: int) -> Json:
    place = {"h": 1, "w": _COLUMNS, "x": 0, "y": y}
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": place,
        "panels": [],
    }


def _placed(shown: tuple[Panel, ...], panels: list[Json], y: int) -> int:
    """Append panels from left to right; the row below them is returned."""
    x = height = 0
    for panel in shown:
        if x + panel.width > _COLUMNS:
            x, y, height = 0, y + height, 0
        panels.append(panel.json(len(panels) + 1, x, y))
        x, height = x + panel.width, max(height, panel.height)
    return y + height


def _variables() -> list[Json]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}
    asked: dict[str, tuple[str, str, Json]] = {"instance": ('up{job="xengt"}', "Box", {})}
    for name, value in _CASE.items():
        chosen = {"selected": True, "text": value, "value": value}
        asked[name] = (f"xengt_probe_latency_seconds_count{{{BOX}}}", name.title(), chosen)
    return [
        source,
        *(
            {
                "name": name,
                "type": "query",
                "label": label,
                "datasource": DATASOURCE,
                "query": {"query": f"label_values({of}, {name})", "refId": name},
                "refresh": 2,
                "sort": 3,
                "current": chosen,
            }
            for name, (of, label, chosen) in asked.items()
        ),
    ]


def filled(expr: str, instance: str, rate: str) -> str:
    """Return a query as Grafana sends it.

    Args:
        expr: with variables.
        instance: the box.
        rate: what $__rate_interval is.
    """
    for name, value in {**_CASE, "instance": instance, "__rate_interval": rate}.items():
        expr = expr.replace(f"${name}", value)
    return expr
