"""A dashboard as Grafana's JSON model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from boardlib.panel import DATASOURCE, Json, Panel
from boardlib.variables import DATA_SOURCE, Variable

_COLUMNS = 24


@dataclass(frozen=True)
class Annotation:
    """A mark in all panels of a dashboard, at the times at which a query has a result.

    Attributes:
        name: heading of its switch.
        expr: PromQL, with the dashboard's variables.
        title: template of the text, with labels in {{}}.
    """

    name: str
    expr: str
    title: str

    def json(self) -> Json:
        """Return Grafana's model."""
        return {
            "name": self.name,
            "datasource": DATASOURCE,
            "enable": True,
            "hide": False,
            "iconColor": "purple",
            "expr": self.expr,
            "step": "60s",
            "titleFormat": self.title,
        }


@dataclass(frozen=True)
class Board:
    """A dashboard.

    Attributes:
        uid: identifies the dashboard in Grafana, also in links.
        title: heading.
        description: what the dashboard shows.
        begin: start of the initial time range, such as `now-3h`.
        variables: besides the data source.
        annotations: marks in all panels.
        rows: row title → panels of the row.
    """

    uid: str
    title: str
    description: str
    begin: str
    variables: tuple[Variable, ...]
    annotations: tuple[Annotation, ...]
    rows: Mapping[str, tuple[Panel, ...]]

    def text(self) -> str:
        """Return the content of the file to import."""
        return json.dumps(self.json(), indent=1) + "\n"

    def json(self) -> Json:
        """Return Grafana's model."""
        panels: list[Json] = []
        y = 0
        for title, row in self.rows.items():
            panels.append(_row(title, len(panels) + 1, y))
            y = _place(row, panels, y + 1)
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["xen", "xengt"],
            "schemaVersion": 36,
            "version": 1,
            "editable": True,
            "refresh": "30s",
            "time": {"from": self.begin, "to": "now"},
            "templating": {"list": [DATA_SOURCE, *(each.json() for each in self.variables)]},
            "annotations": {"list": [each.json() for each in self.annotations]},
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
