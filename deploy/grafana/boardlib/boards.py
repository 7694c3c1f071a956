"""The dashboards: one of a host, and one of all hosts."""

from boardlib import fleet_panels, panels
from boardlib.board import Annotation, Board
from boardlib.variables import (
    FLEET_SELECTOR,
    HOST_SELECTOR,
    INSTANCE,
    JOB,
    SITE,
    case_variables,
)


def _hypervisor_changed(selector: str) -> Annotation:
    """Return marks where a host runs another hypervisor than in the half hour before.

    A mark lasts five minutes, because the steps of a time range of a month are that long. A reboot
    into the same hypervisor is not marked.
    """
    info = f"xengt_hypervisor_info{{{selector}}}"
    before = f"last_over_time({info}[30m] offset 5m)"
    return Annotation(
        "Hypervisor changed",
        f"({info} unless {before}) and on (job, instance) {before}",
        "{{instance}}: Xen {{version}}, build {{build_id}}, maptrack {{maptrack}}",
    )


HOST = Board(
    "xengt",
    "xengt: Xen grant tables",
    "Latency of grant map and unmap operations, and use of grant and maptrack tables, for one "
    "instance.",
    "now-3h",
    (JOB, SITE, INSTANCE, *case_variables(HOST_SELECTOR)),
    (_hypervisor_changed(HOST_SELECTOR),),
    panels.ROWS,
)

FLEET = Board(
    "xengt-fleet",
    "xengt: fleet",
    "Alerts, hosts with the highest latencies, fullest tables, regressions by site, and versions, "
    "for all hosts of a job.",
    "now-24h",
    (JOB, SITE, *case_variables(FLEET_SELECTOR)),
    (_hypervisor_changed(FLEET_SELECTOR),),
    fleet_panels.ROWS,
)

#: File name → dashboard.
BOARDS = {"dashboard.json": HOST, "fleet.json": FLEET}
