"""The dashboards' variables: what they are called in queries, and Grafana's model of them."""

from dataclasses import dataclass

from boardlib.panel import DATASOURCE, Json

#: Selectors of one host, and of all hosts of the selected sites. The value All also matches a host
#: without the label `site`.
HOST_SELECTOR = 'job="$job", instance="$instance"'
FLEET_SELECTOR = 'job="$job", site=~"$site"'
CASE_SELECTOR = 'engine="$engine", batch="$batch", mappings="$mappings", operation="$operation"'
_EVERY_SITE = ".*"
#: Variables of the case, with their initial values.
_CASE = {"engine": "hypercall", "batch": "32", "mappings": "1", "operation": "map"}
_JOB = "xengt"


@dataclass(frozen=True)
class Variable:
    """A variable whose values are those of a label.

    Attributes:
        name: of the variable and of the label.
        metric: PromQL selector of the series with the label.
        initial: value of a new dashboard; empty: the first one.
        several: whether several values, or all, can be selected.
    """

    name: str
    metric: str
    initial: str = ""
    several: bool = False

    def json(self) -> Json:
        """Return Grafana's model."""
        current: Json = {}
        if self.several:
            current = {"selected": True, "text": ["All"], "value": ["$__all"]}
        elif self.initial:
            current = {"selected": True, "text": self.initial, "value": self.initial}
        every: Json = {"includeAll": True, "multi": True, "allValue": _EVERY_SITE}
        return {
            "name": self.name,
            "type": "query",
            "label": self.name.title(),
            "datasource": DATASOURCE,
            "query": {"query": f"label_values({self.metric}, {self.name})", "refId": self.name},
            "refresh": 2,
            "sort": 3,
            "current": current,
            **(every if self.several else {}),
        }


JOB = Variable("job", "xengt_build_info", _JOB)
SITE = Variable("site", 'up{job="$job"}', several=True)
INSTANCE = Variable("instance", f"up{{{FLEET_SELECTOR}}}")
DATA_SOURCE: Json = {
    "name": "datasource",
    "type": "datasource",
    "query": "prometheus",
    "label": "Data source",
}


def case_variables(selector: str) -> tuple[Variable, ...]:
    """Return the variables that select a case of the probe, among the series of a selector."""
    metric = f"xengt_probe_latency_seconds_count{{{selector}}}"
    return tuple(Variable(name, metric, value) for name, value in _CASE.items())


def interpolate(expr: str, instance: str, rate_interval: str, site: str = _EVERY_SITE) -> str:
    """Return a query with its variables replaced by initial values, as Grafana sends it.

    Args:
        expr: PromQL with the dashboards' variables.
        instance: the value of $instance.
        rate_interval: the value of $__rate_interval, such as `1m`.
        site: the value of $site, a regular expression.
    """
    values = {
        **_CASE,
        "job": _JOB,
        "site": site,
        "instance": instance,
        "__rate_interval": rate_interval,
    }
    for name, value in values.items():
        expr = expr.replace(f"${name}", value)
    return expr
