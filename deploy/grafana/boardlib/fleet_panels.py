"""The panels of the dashboard of all hosts."""

from boardlib.panel import Panel, Query, Requirement
from boardlib.panels import JOIN_NAME
from boardlib.variables import CASE_SELECTOR, FLEET_SELECTOR

_FIRING = f'ALERTS{{{FLEET_SELECTOR}, alertname=~"Xengt.*", alertstate="firing"}}'
_P50 = f"case:xengt_probe_latency_seconds:p50{{{FLEET_SELECTOR}, {CASE_SELECTOR}}}"
_RATIO = f"case:xengt_probe_latency_seconds:regression_ratio{{{FLEET_SELECTOR}}}"
_ROWS = 10
_CASE_TITLE = "$operation with $engine, batch $batch, mapping $mappings"


def _number(title: str, description: str, expr: str, limit: float | None = None) -> Panel:
    query = Query(f"{expr} or vector(0)", title)
    return Panel(title, description, "short", (query,), "stat", width=4, height=4, limit=limit)


def _top(
    title: str,
    description: str,
    unit: str,
    expr: str,
    value: str,
    *,
    width: int = 8,
    requires: Requirement | None = None,
) -> Panel:
    """Return a table of the highest values, each with a link to its host's dashboard."""
    query = Query(f"topk({_ROWS}, {expr})", value)
    return Panel(
        title, description, unit, (query,), "table", width=width, value=value, requires=requires
    )


def _by_site(
    title: str,
    description: str,
    unit: str,
    expr: str,
    legend: str = "site {{site}}",
    *,
    width: int = 6,
    limit: float | None = None,
    requires: Requirement | None = None,
) -> Panel:
    """Return a graph over time with a line for each site."""
    query = Query(expr, legend)
    return Panel(title, description, unit, (query,), width=width, limit=limit, requires=requires)


def _table_use(
    title: str, rule: str, alert: str, requires: Requirement | None = None
) -> tuple[Panel, Panel]:
    used = f"domain:xengt_{rule}_used:ratio{{{FLEET_SELECTOR}}}"
    return (
        _top(
            f"{title}: fullest tables",
            f"Domains that use the largest part of their limit. {alert} fires above 80 %.",
            "percentunit",
            f"{used} {JOIN_NAME}",
            "used",
            width=6,
            requires=requires,
        ),
        _by_site(
            f"{title}: fullest table of each site",
            f"Highest use of a limit among the domains of each site. {alert} fires above 80 %.",
            "percentunit",
            f"max by (site) ({used})",
            limit=0.8,
            requires=requires,
        ),
    )


#: Row title → panels of the row.
ROWS: dict[str, tuple[Panel, ...]] = {
    "Fleet": (
        _number("Hosts", "Scrape targets of the job.", f"count(up{{{FLEET_SELECTOR}}})"),
        _number(
            "Hosts without an answer",
            "Targets whose last scrape failed. XengtDown fires after 5 minutes.",
            f"count(up{{{FLEET_SELECTOR}}} == 0)",
            limit=1,
        ),
        _number("Firing alerts", "Alerts of xengt that fire now.", f"count({_FIRING})", limit=1),
        _number(
            "Hosts with a regression",
            "Hosts with at least one case whose median is above 1.25 times its baseline.",
            f"count(count by (job, instance) ({_RATIO} > 1.25))",
            limit=1,
        ),
        _number(
            "Hypervisor builds",
            "Different builds of the hypervisor that run now.",
            f"count(count by (build_id) (xengt_hypervisor_info{{{FLEET_SELECTOR}}}))",
        ),
        _number(
            "Agent versions",
            "Different versions of the agent that run now.",
            f"count(count by (version) (xengt_build_info{{{FLEET_SELECTOR}}}))",
        ),
        Panel(
            "Alerts that fire now",
            "Firing alerts of xengt, with their host, domain or case.",
            "none",
            (Query(_FIRING, "{{alertname}}"),),
            "table",
            width=12,
        ),
        _by_site(
            "Firing alerts over time",
            "Number of firing alerts, by alert and site.",
            "short",
            f"count by (alertname, site) ({_FIRING})",
            "{{alertname}}, site {{site}}",
            width=12,
        ),
    ),
    "Worst hosts": (
        _top(
            f"{_CASE_TITLE}: slowest hosts",
            "Hosts with the highest median latency of the selected case.",
            "s",
            f"max by (job, site, instance) ({_P50})",
            "median",
        ),
        Panel(
            f"{_CASE_TITLE}: hosts of each site",
            "Median latency of the selected case: the slowest host of each site, and the median "
            "over its hosts (dashed).",
            "s",
            (
                Query(f"max by (site) ({_P50})", "site {{site}}, slowest"),
                Query(f"quantile by (site) (0.5, {_P50})", "site {{site}}, median", dashed=True),
            ),
            width=8,
            log=True,
        ),
        _top(
            "Failures within one hour",
            "Hosts whose agent most often failed to complete a round of the probe or to read the "
            "host state.",
            "short",
            "sum by (job, site, instance) ("
            f"increase(xengt_probe_errors_total{{{FLEET_SELECTOR}}}[1h])"
            f" or increase(xengt_host_read_failures_total{{{FLEET_SELECTOR}}}[1h])) > 0",
            "failures",
        ),
    ),
    "Fullest tables": (
        *_table_use("Maptrack entries", "maptrack", "XengtMaptrackNearlyFull", requires="patched"),
        *_table_use("Grant frames", "grant_frames", "XengtGrantFramesNearlyFull"),
        _top(
            "Destroyed domains that still exist",
            "Hosts with the most domains that were destroyed but still exist. XengtLeakedGrants "
            "fires after 10 minutes.",
            "short",
            f'count by (job, site, instance) (xengt_domain_info{{{FLEET_SELECTOR}, dying="yes"}})',
            "domains",
            width=12,
        ),
        _by_site(
            "Domains of each site",
            "Number of domains, including dom0 and dying ones.",
            "short",
            f"sum by (site) (xengt_domains{{{FLEET_SELECTOR}}})",
            width=12,
        ),
    ),
    "Regressions by site": (
        _by_site(
            "Cases above 1.25 times their baseline",
            "Number of cases, over all hosts of a site, whose median latency is above 1.25 times "
            "the median of the preceding day. XengtLatencyRegression fires after 30 minutes.",
            "short",
            f"count by (site) ({_RATIO} > 1.25)",
            width=8,
        ),
        _by_site(
            "Largest ratio of each site",
            "Highest ratio of a median latency to its baseline.",
            "none",
            f"max by (site) ({_RATIO})",
            width=8,
            limit=1.25,
        ),
        _top(
            "Largest ratios",
            "Cases whose median latency exceeds its baseline the most.",
            "none",
            _RATIO,
            "ratio",
        ),
    ),
    "Versions": (
        Panel(
            "Hypervisors",
            "Number of hosts by version, build and maptrack variant of the hypervisor.",
            "short",
            (
                Query(
                    "count by (version, build_id, maptrack) "
                    f"(xengt_hypervisor_info{{{FLEET_SELECTOR}}})",
                    "{{version}}, {{build_id}}",
                ),
            ),
            "table",
            value="hosts",
        ),
        Panel(
            "Agents",
            "Number of hosts by version of the agent.",
            "short",
            (Query(f"count by (version) (xengt_build_info{{{FLEET_SELECTOR}}})", "{{version}}"),),
            "table",
            value="hosts",
        ),
        Panel(
            "Hypervisor of each host",
            "Version, build and maptrack variant of the hypervisor that each host runs.",
            "none",
            (Query(f"xengt_hypervisor_info{{{FLEET_SELECTOR}}}", "{{instance}}"),),
            "table",
            width=12,
        ),
    ),
}
