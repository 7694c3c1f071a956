"""The panels of the dashboard of one host."""

from boardlib.panel import Panel, Query
from boardlib.variables import CASE_SELECTOR
from boardlib.variables import HOST_SELECTOR as INSTANCE

#: Engine → its operations.
OPERATIONS = {
    "hypercall": ("map", "unmap"),
    "gntdev": ("map", "unmap"),
    "copy": ("copy_from", "copy_to"),
}
_MAPPING = [(engine, each) for engine in ("hypercall", "gntdev") for each in OPERATIONS[engine]]
_COPYING = [("copy", each) for each in OPERATIONS["copy"]]
JOIN_NAME = "* on (instance, job, domid) group_left (name) xengt_domain_info"
_DOMAIN_LEGEND = "{{name}} ({{domid}})"
_CASE_LEGEND = "batch {{batch}}, mapping {{mappings}}"


def _quantile(metric: str, by: str, labels: str, quantile: float) -> str:
    rate = f"rate({metric}_bucket{{{labels}}}[5m])"
    return f"histogram_quantile({quantile}, sum by (le, {by}) ({rate}))"


def _median(engine: str, operation: str) -> Panel:
    labels = f'{INSTANCE}, engine="{engine}", operation="{operation}"'
    buckets = _quantile("xengt_probe_latency_seconds", "batch, mappings, path", labels, 0.5)
    # Only an agent with host.profile = lean serves medians; its buckets are too coarse for them.
    medians = f"max by (batch, mappings, path) (xengt_probe_median_seconds{{{labels}}})"
    latency = f"{medians} or {buckets}"
    overhead = f"max by (batch) (xengt_probe_floor_seconds{{{labels}}})"
    return Panel(
        f"{operation} with {engine}: median latency",
        "Median latency per reference over 5 minutes, by batch size and path. Dashed lines: the "
        "measurement overhead, which is the latency of the same call when it is rejected "
        "immediately.",
        "s",
        (
            Query(latency, f"{_CASE_LEGEND}, {{{{path}}}}"),
            Query(overhead, "overhead, batch {{batch}}", dashed=True),
        ),
        log=True,
        requires="copy" if engine == "copy" else None,
    )


def _tail(engine: str, operation: str) -> Panel:
    labels = f'{INSTANCE}, engine="{engine}", operation="{operation}"'
    return Panel(
        f"{operation} with {engine}: p90 and p99 latency",
        "90th (dashed) and 99th percentile of the latency per reference over 5 minutes. With few "
        "calls per round (probe.calls), the slowest few calls determine the 99th percentile. With "
        "host.profile = lean, both are interpolated between bounds that are far apart.",
        "s",
        tuple(
            Query(
                _quantile("xengt_probe_latency_seconds", "batch, mappings", labels, percent / 100),
                f"p{percent}, {_CASE_LEGEND}",
                dashed=percent == 90,  # noqa: PLR2004
            )
            for percent in (99, 90)
        ),
        log=True,
        requires="copy" if engine == "copy" else None,
    )


_SELECTED_CASE = f"{INSTANCE}, {CASE_SELECTOR}"

#: Row title → panels of the row.
ROWS: dict[str, tuple[Panel, ...]] = {
    "Latency": (
        *(_median(*each) for each in _MAPPING),
        *(_tail(*each) for each in _MAPPING),
        Panel(
            "$operation with $engine, batch $batch, mapping $mappings: distribution",
            "Distribution of the latency per reference. A second band of latencies indicates that "
            "some calls took the slow path, or that the host was busy.",
            "s",
            (
                Query(
                    "sum by (le) (increase("
                    f"xengt_probe_latency_seconds_bucket{{{_SELECTED_CASE}}}[$__rate_interval]))",
                    "{{le}}",
                ),
            ),
            kind="heatmap",
            width=12,
        ),
        Panel(
            "Median latency relative to baseline",
            "Ratio of the median latency to the median of the preceding day without its last hour. "
            "The baseline exists after six hours of data. XengtLatencyRegression fires above 1.25 "
            "for 30 minutes.",
            "none",
            (
                Query(
                    f"case:xengt_probe_latency_seconds:regression_ratio{{{INSTANCE}}}",
                    f"{{{{operation}}}}, {{{{engine}}}}, {_CASE_LEGEND}",
                ),
            ),
            width=12,
            limit=1.25,
        ),
    ),
    "Copies": (
        *(_median(*each) for each in _COPYING),
        *(_tail(*each) for each in _COPYING),
    ),
    "Tables and mappings": (
        Panel(
            "Maptrack entries in use",
            "Maptrack entries in use by each domain, relative to its limit. A domain without free "
            "entries cannot create slow mappings. XengtMaptrackNearlyFull fires above 80 % for 5 "
            "minutes.",
            "percentunit",
            (Query(f"domain:xengt_maptrack_used:ratio{{{INSTANCE}}} {JOIN_NAME}", _DOMAIN_LEGEND),),
            limit=0.8,
            requires="patched",
        ),
        Panel(
            "Grant frames in use",
            "Grant frames of each domain, relative to its limit. A grant table does not shrink. "
            "XengtGrantFramesNearlyFull fires above 80 % for 5 minutes.",
            "percentunit",
            (
                Query(
                    f"domain:xengt_grant_frames_used:ratio{{{INSTANCE}}} {JOIN_NAME}",
                    _DOMAIN_LEGEND,
                ),
            ),
            limit=0.8,
        ),
        Panel(
            "Outstanding mappings",
            "Mappings of other domains' references that each domain holds, by the record that Xen "
            "keeps (fast or slow). A number that only grows indicates a leak.",
            "short",
            (
                Query(
                    f"(xengt_mappings{{{INSTANCE}}} > 0) {JOIN_NAME}",
                    f"{_DOMAIN_LEGEND}, {{{{record}}}}",
                ),
            ),
            requires="patched",
        ),
        Panel(
            "Mappings created",
            "Mappings that each domain creates per second, by the record that Xen keeps (fast or "
            "slow).",
            "ops",
            (
                Query(
                    f"(rate(xengt_mappings_made_total{{{INSTANCE}}}[$__rate_interval]) > 0)"
                    f" {JOIN_NAME}",
                    f"{_DOMAIN_LEGEND}, {{{{record}}}}",
                ),
            ),
            requires="patched",
        ),
        Panel(
            "TLB flushes for unmaps",
            "Batches that each domain unmaps per second with a TLB flush, and without one because "
            "no CPU had accessed the pages (gnttab=skip-flush). Rejected unmaps are flushed, and "
            "the probe makes some in dom0.",
            "ops",
            (
                Query(
                    f"rate(xengt_tlb_flushes_total{{{INSTANCE}}}[$__rate_interval]) {JOIN_NAME}",
                    f"{_DOMAIN_LEGEND}, flushed",
                ),
                Query(
                    f"rate(xengt_skipped_tlb_flushes_total{{{INSTANCE}}}[$__rate_interval])"
                    f" {JOIN_NAME}",
                    f"{_DOMAIN_LEGEND}, skipped",
                ),
            ),
            requires="patched",
        ),
        Panel(
            "Events on Xen's console",
            "Events that Xen has printed on its console, per scrape interval. Xen prints those of "
            "grant tables and maptrack tables only if it was built with CONFIG_DEBUG and booted "
            "with guest_loglvl=info. Dashed: bytes of the console that were overwritten or cleared "
            "before they could be read.",
            "short",
            (
                Query(
                    f"increase(xengt_console_events_total{{{INSTANCE}}}[$__rate_interval])",
                    "{{event}}",
                ),
                Query(
                    f"increase(xengt_console_lost_bytes_total{{{INSTANCE}}}[$__rate_interval])",
                    "lost bytes",
                    dashed=True,
                ),
            ),
            width=18,
        ),
    ),
    "Grant calls of dom0's kernel": (
        *(
            Panel(
                f"{operation} by dom0's kernel: p50 and p99 latency",
                "Median (dashed) and 99th percentile of the latency per call of one or more "
                "references, by caller: blkback serves guests' disks and netback their network "
                "interfaces.",
                "s",
                tuple(
                    Query(
                        _quantile(
                            "xengt_kernel_grant_seconds",
                            "caller",
                            f'{INSTANCE}, operation="{operation}"',
                            quantile,
                        ),
                        f"p{100 * quantile:.0f}, {{{{caller}}}}",
                        dashed=quantile == 0.5,  # noqa: PLR2004
                    )
                    for quantile in (0.99, 0.5)
                ),
                log=True,
                width=8,
                requires="passive",
            )
            for operation in ("map", "unmap")
        ),
        Panel(
            "Grant calls by dom0's kernel",
            "Calls per second, by operation and caller.",
            "ops",
            (
                Query(
                    "sum by (caller, operation) (rate("
                    f"xengt_kernel_grant_seconds_count{{{INSTANCE}}}[$__rate_interval]))",
                    "{{operation}}, {{caller}}",
                ),
            ),
            width=8,
            requires="passive",
        ),
    ),
    "Probe and agent": (
        Panel(
            "Probe rounds",
            "Probe rounds per minute: completed, skipped while another xengt process measured, and "
            "failed, by Xen's status. XengtProbeFailing fires after 25 minutes without a completed "
            "round.",
            "opm",
            (
                Query(f"60 * rate(xengt_probe_rounds_total{{{INSTANCE}}}[5m])", "completed"),
                Query(f"60 * rate(xengt_probe_rounds_skipped_total{{{INSTANCE}}}[5m])", "skipped"),
                Query(
                    f"60 * rate(xengt_probe_errors_total{{{INSTANCE}}}[5m])", "failed, {{status}}"
                ),
            ),
        ),
        Panel(
            "CPU use of probe and agent",
            "Share of one vCPU that the probe and the whole agent use. Dashed: the probe's average "
            "budget (probe.cpu_budget).",
            "percentunit",
            (
                Query(f"rate(xengt_probe_cpu_seconds_total{{{INSTANCE}}}[5m])", "probe"),
                Query(f"rate(process_cpu_seconds_total{{{INSTANCE}}}[5m])", "agent"),
                Query(f"xengt_probe_cpu_budget_ratio{{{INSTANCE}}}", "budget", dashed=True),
            ),
        ),
        Panel(
            "Scrape duration",
            "Duration of a scrape as Prometheus measures it, and the part spent reading the host "
            "state from Xen.",
            "s",
            (
                Query(f"scrape_duration_seconds{{{INSTANCE}}}", "scrape"),
                Query(f"xengt_host_read_seconds{{{INSTANCE}}}", "reading host state"),
            ),
        ),
        Panel(
            "Agent memory",
            "Resident memory of the agent.",
            "bytes",
            (Query(f"process_resident_memory_bytes{{{INSTANCE}}}", "agent"),),
        ),
        Panel(
            "Domains",
            "All domains, and those being destroyed. A domain usually stays in that state "
            "because another domain maps its pages. XengtLeakedGrants fires after 10 minutes.",
            "short",
            (
                Query(f"xengt_domains{{{INSTANCE}}}", "all"),
                Query(
                    f'count(xengt_domain_info{{{INSTANCE}, dying="yes"}})'
                    f" or 0 * xengt_domains{{{INSTANCE}}}",
                    "dying",
                ),
            ),
        ),
        Panel(
            "Hypervisor",
            "Version and build ID of the running hypervisor. When latencies change, check whether "
            "the build ID changed.",
            "none",
            (Query(f"xengt_hypervisor_info{{{INSTANCE}}}", "{{version}}, {{build_id}}"),),
            kind="table",
            width=18,
        ),
    ),
}
