"""The dashboard as Grafana's JSON model."""

import json

from boardlib.panel import DATASOURCE, Json, Panel
from boardlib.panels import INSTANCE, ROWS

TITLE = "xengt: Xen grant tables"
_COLUMNS = 24
#: Variables of the heatmap's case, with their initial values.
_CASE = {"engine": "hypercall", "batch": "32", "mappings": "1", "operation": "map"}


def text() -> str:
    """Return the content of dashboard.json."""
    return json.dumps(board(), indent=1) + "\n"


def board() -> Json:
    """Return the dashboard model."""
    panels: list[Json] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(_row(title, len(panels) + 1, y))
        y = _place(row, panels, y + 1)
    return {
        "uid": "xengt",
        "title": TITLE,
        "description": "Latency of grant map and unmap operations, and use of grant and maptrack "
        "tables, for one instance.",
        "tags": ["xen", "xengt"],
        "schemaVersion": 36,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": panels,
    }


def _row(title: str, panel_id: int, y: int) -> Json:
    return {
        "id": panel_id,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": y},
        "panels": [],
    }


def _place(row: tuple[Panel, ...], panels: list[Json], y: int) -> int:
    """Append a row's panels from left to right; return the y position below them."""
    x = height = 0
    for panel in row:
        if x + panel.width > _COLUMNS:
            x, y, height = 0, y + height, 0
        panels.append(panel.json(len(panels) + 1, x, y))
        x, height = x + panel.width, max(height, panel.height)
    return y + height


def _variables() -> list[Json]:
    source = {
        "name": "datasource",
        "type": "datasource",
        "query": "prometheus",
        "label": "Data source",
    }
    queried: dict[str, tuple[str, str, Json]] = {"instance": ('up{job="xengt"}', "Instance", {})}
    for name, value in _CASE.items():
        selected = {"selected": True, "text": value, "value": value}
        metric = f"xengt_probe_latency_seconds_count{{{INSTANCE}}}"
        queried[name] = (metric, name.title(), selected)
    return [
        source,
        *(
            {
                "name": name,
                "type": "query",
                "label": label,
                "datasource": DATASOURCE,
                "query": {"query": f"label_values({metric}, {name})", "refId": name},
                "refresh": 2,
                "sort": 3,
                "current": selected,
            }
            for name, (metric, label, selected) in queried.items()
        ),
    ]


def interpolate(expr: str, instance: str, rate_interval: str) -> str:
    """Return a query with its variables replaced, as Grafana sends it.

    Args:
        expr: PromQL with the dashboard's variables.
        instance: the value of $instance.
        rate_interval: the value of $__rate_interval, such as `1m`.
    """
    values = {**_CASE, "instance": instance, "__rate_interval": rate_interval}
    for name, value in values.items():
        expr = expr.replace(f"${name}", value)
    return expr
