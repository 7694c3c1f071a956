"""What the dashboard shows."""

from itertools import product

from boardlib.panel import Panel, Query

ENGINES = ("hypercall", "gntdev")
OPERATIONS = ("map", "unmap")
BOX = 'instance="$instance"'
_NAMED = "* on (instance, job, domid) group_left (name) xengt_domain_info"
_DOMAIN = "{{name}} ({{domid}})"
_CASE = "batch {{batch}}, mapping {{mappings}}"


def _quantile(of: str, by: str, labels: str, quantile: float) -> str:
    return f"histogram_quantile({quantile}, sum by (le, {by}) (rate({of}_bucket{{{labels}}}[5m])))"


def _median(engine: str, operation: str) -> Panel:
    labels = f'{BOX}, engine="{engine}", operation="{operation}"'
    probed = _quantile("xengt_probe_latency_seconds", "batch, mappings, path", labels, 0.5)
    floor = f"max by (batch) (xengt_probe_floor_seconds{{{labels}}})"
    return Panel(
        f"{operation} by {engine}: median",
        "Of one reference, beside the batch it was taken in; over 5 minutes. Dashed: the floor, "
        "which is what the same call takes when it is refused at once.",
        "s",
        (
            Query(probed, f"{_CASE}, {{{{path}}}}"),
            Query(floor, "floor, batch {{batch}}", dashed=True),
        ),
        log=True,
    )


def _tail(engine: str, operation: str) -> Panel:
    labels = f'{BOX}, engine="{engine}", operation="{operation}"'
    return Panel(
        f"{operation} by {engine}: p90, p99",
        "What nine of ten took at most (dashed), and 99 of 100; over 5 minutes. With few calls a "
        "round, the latter is of the few slowest ones.",
        "s",
        tuple(
            Query(
                _quantile("xengt_probe_latency_seconds", "batch, mappings", labels, percent / 100),
                f"p{percent}, {_CASE}",
                dashed=percent == 90,  # noqa: PLR2004
            )
            for percent in (99, 90)
        ),
        log=True,
    )


_CHOSEN = f'{BOX}, engine="$engine", batch="$batch", mappings="$mappings", operation="$operation"'

#: rows of the dashboard: title, and panels
ROWS: dict[str, tuple[Panel, ...]] = {
    "Latency": (
        *(_median(*each) for each in product(ENGINES, OPERATIONS)),
        *(_tail(*each) for each in product(ENGINES, OPERATIONS)),
        Panel(
            "$operation by $engine, batch $batch, mapping $mappings",
            "How many took how long: a second level is a second path, or a busy host.",
            "s",
            (
                Query(
                    "sum by (le) (increase("
                    f"xengt_probe_latency_seconds_bucket{{{_CHOSEN}}}[$__rate_interval]))",
                    "{{le}}",
                ),
            ),
            kind="heatmap",
            width=12,
        ),
        Panel(
            "Median against its baseline",
            "1: as in the day before, the last hour left out; there is none before six hours. "
            "Above 1.25 for half an hour, XengtLatencyRegression fires.",
            "none",
            (
                Query(
                    f"case:xengt_probe_latency_seconds:regression_ratio{{{BOX}}}",
                    f"{{{{operation}}}}, {{{{engine}}}}, {_CASE}",
                ),
            ),
            width=12,
            limit=1.25,
        ),
    ),
    "Tables and mappings": (
        Panel(
            "Maptrack entries used",
            "Of those a domain may have. Without any left it can map nothing: above 80 % for 5 "
            "minutes, XengtMaptrackNearlyFull fires.",
            "percentunit",
            (Query(f"domain:xengt_maptrack_used:ratio{{{BOX}}} {_NAMED}", _DOMAIN),),
            limit=0.8,
            needs="patched",
        ),
        Panel(
            "Grant frames used",
            "Of those a domain may have; a table does not shrink. Above 80 % for 5 minutes, "
            "XengtGrantFramesNearlyFull fires.",
            "percentunit",
            (Query(f"domain:xengt_grant_frames_used:ratio{{{BOX}}} {_NAMED}", _DOMAIN),),
            limit=0.8,
        ),
        Panel(
            "Mappings",
            "That a domain has made of others' references and not yet undone, by how Xen records "
            "them. One that only grows is a leak.",
            "short",
            (Query(f"(xengt_mappings{{{BOX}}} > 0) {_NAMED}", f"{_DOMAIN}, {{{{record}}}}"),),
            needs="patched",
        ),
        Panel(
            "Mappings made",
            "A second, by how Xen records them.",
            "ops",
            (
                Query(
                    f"(rate(xengt_mappings_made_total{{{BOX}}}[$__rate_interval]) > 0) {_NAMED}",
                    f"{_DOMAIN}, {{{{record}}}}",
                ),
            ),
            needs="patched",
        ),
    ),
    "The kernel's own grant calls": (
        *(
            Panel(
                f"{operation} by dom0's kernel",
                "Of one call for however many references, by who makes it: blkback and netback "
                "for guests' disks and networks. p99, and the median dashed.",
                "s",
                tuple(
                    Query(
                        _quantile(
                            "xengt_kernel_grant_seconds",
                            "caller",
                            f'{BOX}, operation="{operation}"',
                            quantile,
                        ),
                        f"p{100 * quantile:.0f}, {{{{caller}}}}",
                        dashed=quantile == 0.5,  # noqa: PLR2004
                    )
                    for quantile in (0.99, 0.5)
                ),
                log=True,
                width=8,
                needs="passive",
            )
            for operation in OPERATIONS
        ),
        Panel(
            "Calls by dom0's kernel",
            "A second.",
            "ops",
            (
                Query(
                    "sum by (caller, operation) (rate("
                    f"xengt_kernel_grant_seconds_count{{{BOX}}}[$__rate_interval]))",
                    "{{operation}}, {{caller}}",
                ),
            ),
            width=8,
            needs="passive",
        ),
    ),
    "The probe and the agent": (
        Panel(
            "Rounds of the probe",
            "A minute: taken, not taken because a benchmark was running, and failed by Xen's "
            "status. None taken for 15 minutes: XengtProbeFailing fires.",
            "opm",
            (
                Query(f"60 * rate(xengt_probe_rounds_total{{{BOX}}}[5m])", "taken"),
                Query(f"60 * rate(xengt_probe_rounds_skipped_total{{{BOX}}}[5m])", "skipped"),
                Query(f"60 * rate(xengt_probe_errors_total{{{BOX}}}[5m])", "failed, {{status}}"),
            ),
        ),
        Panel(
            "CPU of the probe",
            "Of one vCPU, and what it may take on the average (dashed); the whole agent beside it.",
            "percentunit",
            (
                Query(f"rate(xengt_probe_cpu_seconds_total{{{BOX}}}[5m])", "probe"),
                Query(f'rate(process_cpu_seconds_total{{{BOX}, job="xengt"}}[5m])', "agent"),
                Query(f"xengt_probe_cpu_budget_ratio{{{BOX}}}", "budget", dashed=True),
            ),
        ),
        Panel(
            "A scrape",
            "What it took, as the Prometheus sees it, and how much of that was reading what Xen "
            "tells.",
            "s",
            (
                Query(f'scrape_duration_seconds{{{BOX}, job="xengt"}}', "scrape"),
                Query(f"xengt_host_read_seconds{{{BOX}}}", "reading the host"),
            ),
        ),
        Panel(
            "Memory of the agent",
            "Resident.",
            "bytes",
            (Query(f'process_resident_memory_bytes{{{BOX}, job="xengt"}}', "agent"),),
        ),
        Panel(
            "Domains",
            "All there are, and those that are dying: one that stays so has pages that somebody "
            "has mapped. After 10 minutes, XengtLeakedGrants fires.",
            "short",
            (
                Query(f"xengt_domains{{{BOX}}}", "all"),
                Query(
                    f'count(xengt_domain_info{{{BOX}, dying="yes"}}) or 0 * xengt_domains{{{BOX}}}',
                    "dying",
                ),
            ),
        ),
        Panel(
            "Hypervisor",
            "What runs: a change of the build is what to look for when latencies change.",
            "none",
            (Query(f"xengt_hypervisor_info{{{BOX}}}", "{{version}}, {{build_id}}"),),
            kind="table",
            width=18,
        ),
    ),
}
