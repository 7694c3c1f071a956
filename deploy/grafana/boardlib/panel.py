"""A panel as Grafana has it (its JSON model, schemaVersion 36: Grafana 9 and later)."""

from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["timeseries", "heatmap", "table"]
#: what has to be there besides the agent
Needs = Literal["patched", "passive"]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
_TOLD_BY: dict[Needs | None, str] = {
    None: "",
    "patched": " Only the patched Xen tells it.",
    "passive": " Only with passive.enabled in the agent's configuration.",
}


@dataclass(frozen=True)
class Query:
    """One query of a panel.

    Attributes:
        expr: PromQL, with the dashboard's variables.
        legend: of each series, with its labels in {{}}.
        dashed: drawn so: a floor, or a limit.
    """

    expr: str
    legend: str
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: of it.
        meaning: what it shows, and what to make of it.
        unit: Grafana's name of the values' unit.
        queries: at least one.
        kind: Grafana's type of panel.
        width: of the 24 columns there are.
        height: rows, each of 30 pixels.
        log: whether equal ratios are equal distances.
        limit: a value that is too much.
        needs: what has to be there for it to show anything.
    """

    title: str
    meaning: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    width: int = 6
    height: int = 8
    log: bool = False
    limit: float | None = None
    needs: Needs | None = None

    def json(self, number: int, x: int, y: int) -> Json:
        """Return it as Grafana has it.

        Args:
            number: unlike any other's.
            x: column it begins at.
            y: row it begins at.
        """
        instant = self.kind == "table"
        formats = {"timeseries": "time_series", "heatmap": "heatmap", "table": "table"}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.meaning + _TOLD_BY[self.needs],
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [
                {
                    "refId": chr(ord("A") + place),
                    "datasource": DATASOURCE,
                    "expr": query.expr,
                    "legendFormat": query.legend,
                    "format": formats[self.kind],
                    "instant": instant,
                    "range": not instant,
                }
                for place, query in enumerate(self.queries)
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
            steps = [{"color": "green", "value": None}, {"color": "red", "value": self.limit}]
            defaults["thresholds"] = {"mode": "absolute", "steps": steps}
            defaults["custom"]["thresholdsStyle"] = {"mode": "line"}
        line = {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [6, 4]}}
        overrides = [
            {
                "matcher": {"id": "byFrameRefID", "options": chr(ord("A") + place)},
                "properties": [line],
            }
            for place, query in enumerate(self.queries)
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

    def _table(self) -> Json:
        hidden = {"Time": True, "Value": True, "__name__": True, "job": True}
        return {
            "fieldConfig": {"defaults": {"unit": self.unit}, "overrides": []},
            "options": {"showHeader": True},
            "transformations": [{"id": "organize", "options": {"excludeByName": hidden}}],
        }
