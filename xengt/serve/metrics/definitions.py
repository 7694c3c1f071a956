"""The agent's metrics: name, type, unit, labels and HELP text of each, declared once.

The sources of series (`host_metrics`, `probe_metrics`, ...) take their metrics from here,
and deploy/prometheus/metrics_reference writes METRICS.md from here.
"""

from xengt.serve.metrics.metric_definition import Label, MetricDefinition, MetricGroup

#: unit of a metric whose value is always 1 and whose labels carry the information
INFO = "constant 1"
_RECORDED = (
    "by where the hypervisor records them (fast: the granter's active entry, "
    "slow: the domain's maptrack table)"
)
_GNTDEV = "gntdev makes two for each page in a PV dom0."


_DOMID = Label("domid", "Domain ID.")
_RECORDS = (
    "Where Xen records the mapping: `fast` (the granter's active entry; only the patched "
    "hypervisor does) or `slow` (the maptrack table of the domain that maps)"
)
_RECORD = Label("record", f"{_RECORDS}.")
_ENGINE = Label(
    "engine",
    "Interface that the probe uses: `hypercall` (grant-table hypercalls) or `gntdev` (the Linux "
    "driver), which map and unmap, or `copy` (GNTTABOP_copy of 4,096 bytes).",
)
_OPERATION = Label("operation", "`map` or `unmap`.")
_PROBE_OPERATION = Label(
    "operation",
    "`map` or `unmap` (with the engine gntdev, Linux may complete an unmap after the call that is "
    "timed); with the engine copy, `copy_from` the granter or `copy_to` the granter.",
)
_PROBE_CASE = (
    _ENGINE,
    Label("batch", "References per call (probe.batches)."),
    Label(
        "mappings",
        "Mappings of each reference while the call is timed, the timed one included "
        "(probe.mappings); `0` for the engine copy.",
    ),
    Label(
        "path",
        f"{_RECORDS}, as calculated from the number of mappings and the host's configuration; "
        "`unknown` without hypfs; `none` for the engine copy, which maps nothing.",
    ),
    _PROBE_OPERATION,
)
_KERNEL_CALL = (
    Label("caller", "Driver in dom0 that made the call: `blkback`, `netback`, `gntdev`, `other`."),
    _OPERATION,
)

BUILD_INFO = MetricDefinition(
    "xengt_build_info",
    "gauge",
    INFO,
    "Version of the xengt agent, as a label; the value is always 1.",
    (Label("version", "Version of xengt."),),
)
CONFIG_LAST_RELOAD_SUCCESSFUL = MetricDefinition(
    "xengt_config_last_reload_successful",
    "gauge",
    "0 or 1",
    "Whether the last attempt to load the configuration succeeded (1: yes, 0: no, the previous "
    "configuration stays in effect, and the agent's log says why).",
)
CONFIG_LAST_RELOAD_SUCCESS = MetricDefinition(
    "xengt_config_last_reload_success_timestamp_seconds",
    "gauge",
    "seconds since the epoch",
    "Unix time at which the agent last loaded its configuration successfully, at its start or on "
    "SIGHUP, in seconds.",
)

HYPERVISOR_INFO = MetricDefinition(
    "xengt_hypervisor_info",
    "gauge",
    INFO,
    "Build ID, maptrack variant and version of the running hypervisor, as labels; the value is "
    "always 1.",
    (
        Label("build_id", "Build ID of the hypervisor in hexadecimal."),
        Label(
            "maptrack",
            "What the hypervisor can do: `stock`, `fast` (patched), `no-fast` (patched, booted "
            "with gnttab=no-fast-maptrack), or `unknown` without hypfs.",
        ),
        Label("version", "Version of Xen."),
    ),
)
DOMAIN_INFO = MetricDefinition(
    "xengt_domain_info",
    "gauge",
    INFO,
    "Name, creator and dying state of a domain, as labels; the value is always 1.",
    (
        _DOMID,
        Label("dying", "`yes`: the domain was destroyed but still exists. `no` otherwise."),
        Label(
            "name",
            "Name of the domain in XenStore, with escapes for what cannot be printed; empty if it "
            "has none.",
        ),
        Label(
            "own",
            "`yes` if xengt created the domain (for a benchmark or the agent's probe), otherwise "
            "`no`.",
        ),
    ),
)
DOMAINS = MetricDefinition(
    "xengt_domains",
    "gauge",
    "domains",
    "Number of domains on the host, including dying ones.",
)
DOMAINS_LEFT_OUT = MetricDefinition(
    "xengt_domains_left_out",
    "gauge",
    "domains",
    "Number of domains without per-domain series, because the host has more domains than the "
    "configured limit host.domains.",
)
GRANT_FRAMES = MetricDefinition(
    "xengt_grant_frames",
    "gauge",
    "frames of 4 KiB",
    "Current size of the domain's grant table in frames of 4 KiB.",
    (_DOMID,),
)
GRANT_FRAMES_LIMIT = MetricDefinition(
    "xengt_grant_frames_limit",
    "gauge",
    "frames of 4 KiB",
    "Maximum size of the domain's grant table in frames of 4 KiB.",
    (_DOMID,),
)
MAPTRACK_FRAMES = MetricDefinition(
    "xengt_maptrack_frames",
    "gauge",
    "frames of 4 KiB",
    "Current size of the domain's maptrack table, which records its mappings, in frames of 4 KiB.",
    (_DOMID,),
)
MAPTRACK_FRAMES_LIMIT = MetricDefinition(
    "xengt_maptrack_frames_limit",
    "gauge",
    "frames of 4 KiB",
    "Maximum size of the domain's maptrack table in frames of 4 KiB.",
    (_DOMID,),
)
MAPPINGS = MetricDefinition(
    "xengt_mappings",
    "gauge",
    "mappings",
    f"Grant mappings that the domain holds as the mapper, {_RECORDED}. {_GNTDEV}",
    (_DOMID, _RECORD),
)
MAPPINGS_MADE = MetricDefinition(
    "xengt_mappings_made_total",
    "counter",
    "mappings",
    f"Grant mappings that the domain has made as the mapper since its creation, {_RECORDED}. "
    f"{_GNTDEV}",
    (_DOMID, _RECORD),
)
TLB_FLUSHES = MetricDefinition(
    "xengt_tlb_flushes_total",
    "counter",
    "flushes",
    "TLB flushes that Xen has made since the domain's creation for its unmaps of grants, one for "
    "up to 32 unmaps of a hypercall. In a PV domain these include flushes for unmaps that Xen "
    "rejected, as those of the agent's probe. Flushes for single unmaps (gnttab=no-batch-flush, "
    "shadow paging) are not counted.",
    (_DOMID,),
)
SKIPPED_TLB_FLUSHES = MetricDefinition(
    "xengt_skipped_tlb_flushes_total",
    "counter",
    "batches",
    "Batches of up to 32 unmaps of a hypercall that Xen has completed since the domain's creation "
    "without a TLB flush, because no CPU had accessed their pages (gnttab=skip-flush).",
    (_DOMID,),
)
UNAVAILABLE = MetricDefinition(
    "xengt_unavailable",
    "gauge",
    INFO,
    "Per-domain value that this hypervisor does not report; the label `figure` names its key in "
    "`xengt usage --json`. The value of this metric is always 1.",
    (Label("figure", "Key of the value in the documents of `xengt usage --json`."),),
)
HOST_READ_FAILURES = MetricDefinition(
    "xengt_host_read_failures_total",
    "counter",
    "scrapes",
    "Scrapes during which the agent could not read the host state from Xen.",
)
HOST_READ_SECONDS = MetricDefinition(
    "xengt_host_read_seconds",
    "gauge",
    "seconds",
    "Time spent reading host state from Xen during this scrape, in seconds.",
)

CONSOLE_UP = MetricDefinition(
    "xengt_console_up",
    "gauge",
    "0 or 1",
    "Whether the agent could read Xen's console ring during this scrape (1: yes, 0: no, and the "
    "agent's log says why).",
)
CONSOLE_EVENTS = MetricDefinition(
    "xengt_console_events_total",
    "counter",
    "events",
    "Events that Xen has printed on its console since the first scrape of this agent; an event "
    "below the log level of Xen's console (loglvl, guest_loglvl) is not printed.",
    (
        Label(
            "event",
            "`domain_crashed`: Xen itself crashed a domain. Printed by default. Crashes that the "
            "guest kernel reports are not printed or counted. "
            "`grant_table_expanded`: a domain's grant table has grown. "
            "`maptrack_exhausted`: a mapping failed because the domain had no free maptrack entry. "
            "Only a Xen built with CONFIG_DEBUG prints the last two, with `guest_loglvl=info` or "
            "`all` on its command line; for a release build of Xen they stay 0.",
        ),
    ),
)
CONSOLE_LOST = MetricDefinition(
    "xengt_console_lost_bytes_total",
    "counter",
    "bytes",
    "Bytes of Xen's console ring that were overwritten, or cleared by `xl dmesg --clear`, before "
    "the agent could read them; events in them are not counted.",
)

XENSTORE_UP = MetricDefinition(
    "xengt_xenstore_up",
    "gauge",
    "0 or 1",
    "Whether the agent has a working connection to xenstored (1: yes, 0: no).",
)
DOMAIN_CHANGES = MetricDefinition(
    "xengt_domain_changes_total",
    "counter",
    "domains",
    "Domains introduced to and released from XenStore, as reported by the agent's watches.",
    (Label("change", "`introduced` or `released`."),),
)

PROBE_LATENCY_SECONDS = MetricDefinition(
    "xengt_probe_latency_seconds",
    "histogram",
    "seconds",
    "Latency of one map, unmap or copy operation of the probe in seconds: the duration of a call "
    "divided by its batch size. It includes the measurement overhead, which "
    "xengt_probe_floor_seconds reports.",
    _PROBE_CASE,
)
PROBE_MEDIAN_SECONDS = MetricDefinition(
    "xengt_probe_median_seconds",
    "gauge",
    "seconds",
    "Median latency of one map, unmap or copy operation of the probe in the last round, in "
    "seconds; only with host.profile = lean, whose histograms are too coarse for it.",
    _PROBE_CASE,
)
PROBE_FLOOR_SECONDS = MetricDefinition(
    "xengt_probe_floor_seconds",
    "gauge",
    "seconds",
    "Measurement overhead ('floor') of the probe in seconds per operation: median latency of "
    "rejected operations in the last round.",
    _PROBE_CASE,
)
PROBE_UP = MetricDefinition(
    "xengt_probe_up",
    "gauge",
    "0 or 1",
    "Whether the probe uses the configured engine (1: yes, 0: this dom0 cannot run it, and the "
    "agent's log says why).",
    (_ENGINE,),
)
PROBE_ERRORS = MetricDefinition(
    "xengt_probe_errors_total",
    "counter",
    "rounds",
    "Probe rounds that failed, by the grant status that Xen returned.",
    (
        Label(
            "status",
            "Xen's name of the status, such as `GNTST_no_space`; `none` if the error was not a "
            "grant status.",
        ),
    ),
)
PROBE_ROUNDS = MetricDefinition(
    "xengt_probe_rounds_total",
    "counter",
    "rounds",
    "Probe rounds that were completed.",
)
PROBE_ROUNDS_SKIPPED = MetricDefinition(
    "xengt_probe_rounds_skipped_total",
    "counter",
    "rounds",
    "Probe rounds that were skipped because another xengt process, such as a benchmark, held the "
    "lock on /run/xengt/mappings.",
)
PROBE_CPU_SECONDS = MetricDefinition(
    "xengt_probe_cpu_seconds_total",
    "counter",
    "seconds",
    "CPU time of the agent during probe rounds in seconds.",
)
PROBE_CPU_BUDGET_RATIO = MetricDefinition(
    "xengt_probe_cpu_budget_ratio",
    "gauge",
    "ratio",
    "Configured limit on the average CPU time of the probe (probe.cpu_budget), as a fraction of "
    "one vCPU.",
)
PROBE_ROUND_SECONDS = MetricDefinition(
    "xengt_probe_round_seconds",
    "gauge",
    "seconds",
    "Duration of the last probe round in seconds.",
)
PROBE_LAST_SUCCESS = MetricDefinition(
    "xengt_probe_last_success_timestamp_seconds",
    "gauge",
    "seconds since the epoch",
    "Unix time at which the last successful probe round ended, in seconds (0: no round has "
    "succeeded yet).",
)

PASSIVE_UP = MetricDefinition(
    "xengt_passive_up",
    "gauge",
    "0 or 1",
    "Whether dom0's kernel times its grant calls for the agent (1: yes, 0: no, and the agent's "
    "log says why).",
)
KERNEL_GRANT_SECONDS = MetricDefinition(
    "xengt_kernel_grant_seconds",
    "histogram",
    "seconds",
    "Duration of one call of gnttab_map_refs() or gnttab_unmap_refs() in dom0's kernel in "
    "seconds, for all references of the call.",
    _KERNEL_CALL,
)
KERNEL_GRANT_REFERENCES = MetricDefinition(
    "xengt_kernel_grant_references_total",
    "counter",
    "references",
    "References that the timed calls of gnttab_map_refs() and gnttab_unmap_refs() in dom0's "
    "kernel mapped or unmapped.",
    _KERNEL_CALL,
)

GROUPS = (
    MetricGroup(
        "Agent",
        "Every scrape returns these metrics.",
        (BUILD_INFO, CONFIG_LAST_RELOAD_SUCCESSFUL, CONFIG_LAST_RELOAD_SUCCESS),
    ),
    MetricGroup(
        "Host",
        "Every scrape reads these metrics from Xen. Series of a domain disappear with the domain. "
        "Of the figures of a domain, stock Xen reports only grant frames and their limits: "
        "`xengt_unavailable` then names the figures without series. Domains that have never mapped "
        "a grant have no series of TLB flushes. If Xen cannot be read, the scrape returns only the "
        "last two metrics of this table.",
        (
            HYPERVISOR_INFO,
            DOMAIN_INFO,
            DOMAINS,
            DOMAINS_LEFT_OUT,
            GRANT_FRAMES,
            GRANT_FRAMES_LIMIT,
            MAPTRACK_FRAMES,
            MAPTRACK_FRAMES_LIMIT,
            MAPPINGS,
            MAPPINGS_MADE,
            TLB_FLUSHES,
            SKIPPED_TLB_FLUSHES,
            UNAVAILABLE,
            HOST_READ_FAILURES,
            HOST_READ_SECONDS,
        ),
    ),
    MetricGroup(
        "Xen's console",
        "Every scrape returns these metrics.",
        (CONSOLE_UP, CONSOLE_EVENTS, CONSOLE_LOST),
    ),
    MetricGroup("XenStore", "Every scrape returns these metrics.", (XENSTORE_UP, DOMAIN_CHANGES)),
    MetricGroup(
        "Probe",
        "A scrape returns these metrics if probe.enabled is true, which is the default, and "
        "`xengt_probe_median_seconds` only if host.profile is `lean`.",
        (
            PROBE_LATENCY_SECONDS,
            PROBE_MEDIAN_SECONDS,
            PROBE_FLOOR_SECONDS,
            PROBE_UP,
            PROBE_ERRORS,
            PROBE_ROUNDS,
            PROBE_ROUNDS_SKIPPED,
            PROBE_CPU_SECONDS,
            PROBE_CPU_BUDGET_RATIO,
            PROBE_ROUND_SECONDS,
            PROBE_LAST_SUCCESS,
        ),
    ),
    MetricGroup(
        "dom0's kernel",
        "A scrape returns these metrics if passive.enabled is true; the default is false. The last "
        "two have no series while `xengt_passive_up` is 0.",
        (PASSIVE_UP, KERNEL_GRANT_SECONDS, KERNEL_GRANT_REFERENCES),
    ),
)
