"""A panel in Grafana's JSON model (schemaVersion 36: Grafana 9 and later)."""

from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["timeseries", "heatmap", "table", "stat"]
#: What a panel's metrics depend on, besides the agent.
Requirement = Literal["patched", "passive", "copy"]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
#: A cell with an instance leads to the dashboard of that host.
_LINK_TO_HOST: Json = {
    "title": "Dashboard of ${__value.text}",
    "url": "/d/xengt?var-job=${job}&var-instance=${__value.text}&${__url_time_range}",
}
_REQUIREMENTS: dict[Requirement | None, str] = {
    None: "",
    "patched": " Requires the patched Xen.",
    "passive": " Requires passive.enabled = true in the agent's configuration.",
    "copy": " Requires the engine copy in probe.engines of the agent's configuration.",
}


@dataclass(frozen=True)
class Query:
    """One query of a panel.

    Attributes:
        expr: PromQL, with the dashboard's variables.
        legend: template of a series' name, with labels in {{}}.
        dashed: whether the lines are dashed, such as those of a limit.
    """

    expr: str
    legend: str
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: heading; may contain the dashboard's variables.
        description: what the panel shows and how to interpret it.
        unit: unit of the values, by Grafana's name.
        queries: at least one.
        kind: Grafana's panel type.
        width: in columns of the grid, at most 24.
        height: in rows of the grid, 30 pixels each.
        log: whether the axis is logarithmic.
        limit: threshold of the alert on these values, or of a number that is a problem.
        value: heading of a table's column of values; empty: labels alone are shown.
        requires: what the metrics depend on; without it the panel is empty.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    width: int = 6
    height: int = 8
    log: bool = False
    limit: float | None = None
    value: str = ""
    requires: Requirement | None = None

    def json(self, panel_id: int, x: int, y: int) -> Json:
        """Return the panel's JSON model.

        Args:
            panel_id: unique in the dashboard.
            x: first column.
            y: first row.
        """
        instant = self.kind in {"table", "stat"}
        formats = {"heatmap": "heatmap", "table": "table"}
        return {
            "id": panel_id,
            "type": self.kind,
            "title": self.title,
            "description": self.description + _REQUIREMENTS[self.requires],
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "datasource": DATASOURCE,
                    "expr": query.expr,
                    "legendFormat": query.legend,
                    "format": formats.get(self.kind, "time_series"),
                    "instant": instant,
                    "range": not instant,
                }
                for index, query in enumerate(self.queries)
            ],
            **getattr(self, f"_{self.kind}")(),
        }

    def _timeseries(self) -> Json:
        scale = {"type": "log", "log": 10} if self.log else {"type": "linear"}
        defaults: Json = {
            "unit": self.unit,
            "custom": {"fillOpacity": 0, "showPoints": "never", "scaleDistribution": scale},
        }
        if not self.log:
            defaults["min"] = 0
        if self.limit is not None:
            defaults["thresholds"] = self._thresholds()
            defaults["custom"]["thresholdsStyle"] = {"mode": "line"}
        dashed = {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [6, 4]}}
        overrides = [
            {
                "matcher": {"id": "byFrameRefID", "options": chr(ord("A") + index)},
                "properties": [dashed],
            }
            for index, query in enumerate(self.queries)
            if query.dashed
        ]
        return {
            "fieldConfig": {"defaults": defaults, "overrides": overrides},
            "options": {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            },
        }

    def _heatmap(self) -> Json:
        return {
            "fieldConfig": {"defaults": {}, "overrides": []},
            "options": {
                "calculate": False,
                "cellGap": 0,
                "color": {"mode": "scheme", "scheme": "Blues", "steps": 32, "reverse": False},
                "filterValues": {"le": 1e-9},
                "legend": {"show": True},
                "tooltip": {"show": True, "yHistogram": True},
                "yAxis": {"unit": self.unit},
            },
        }

    def _stat(self) -> Json:
        return {
            "fieldConfig": {
                "defaults": {"unit": self.unit, "thresholds": self._thresholds()},
                "overrides": [],
            },
            "options": {
                "colorMode": "value",
                "graphMode": "none",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            },
        }

    def _thresholds(self) -> Json:
        steps: list[Json] = [{"color": "green", "value": None}]
        if self.limit is not None:
            steps.append({"color": "red", "value": self.limit})
        return {"mode": "absolute", "steps": steps}

    def _table(self) -> Json:
        hidden = {"Time": True, "__name__": True, "job": True, "alertstate": True}
        shown: Json = {"Value": self.value}
        if not self.value:
            hidden["Value"], shown = True, {}
        return {
            "fieldConfig": {
                "defaults": {"unit": self.unit},
                "overrides": [
                    {
                        "matcher": {"id": "byName", "options": "instance"},
                        "properties": [{"id": "links", "value": [_LINK_TO_HOST]}],
                    }
                ],
            },
            "options": {
                "showHeader": True,
                "sortBy": [{"displayName": self.value, "desc": True}] if self.value else [],
            },
            "transformations": [
                {"id": "organize", "options": {"excludeByName": hidden, "renameByName": shown}}
            ],
        }
