"""Calculates the frames of grant and maptrack tables, and reads the limits."""

from collections.abc import Sequence
from dataclasses import dataclass

from xengt.plan.devices import RESERVED, GuestDevices, Part, parts
from xengt.plan.document import DOM0_MAPPER, FramePlan, Frames, mapper_of
from xengt.plan.presets import Preset, xapi_limit
from xengt.xen import limits
from xengt.xen.grant_table import ENTRIES_PER_FRAME, HANDLES_PER_FRAME
from xengt.xen.handle import GREF_MAX
from xengt.xen.limits import Limit


@dataclass(frozen=True, slots=True)
class Hosts:
    """The domains that map: dom0, and driver domains with the backends of some devices.

    Args:
        dom0_vcpus: number of vCPUs of dom0.
        pv_dom0: whether dom0 is PV, where gntdev maps each reference twice.
        driver_domains: the kinds of devices (`vifs`, `vbds`) whose backends are in a driver
            domain, one for each kind.
        driver_vcpus: number of vCPUs of each driver domain.
    """

    dom0_vcpus: int
    pv_dom0: bool
    driver_domains: tuple[str, ...] = ()
    driver_vcpus: int = 1


def plan_frames(
    guest: GuestDevices, domains: int, hosts: Hosts, preset: Preset | None = None
) -> FramePlan:
    """Calculate the frames that domains need, and read the limits.

    The limits are read with `xenhypfs_read`, `xc_version` and `xc_gnttab_query_size` on a
    machine with Xen; XAPI gives each domain a limit of its own.

    Args:
        guest: what each domain grants pages for.
        domains: number of domains.
        hosts: the domains that map their references.
        preset: the toolstack or drivers whose defaults are used.
    """
    needs = tuple(parts(guest, user_mappings=2 if hosts.pv_dom0 else 1))
    references = sum(part.references for part in needs)
    if preset is Preset.XAPI:
        granted, option = xapi_limit(guest), "platform:max_grant_frames of the VM"
    else:
        granted = limits.limit(limits.MAX_FRAMES)
        option = f"max_grant_frames in the domain's configuration, or {limits.MAX_FRAMES}"
    tables = [_grant_table(references, version, granted, option) for version in ENTRIES_PER_FRAME]
    for mapper in dict.fromkeys(mapper_of(part, hosts.driver_domains) for part in needs):
        own = [part for part in needs if mapper_of(part, hosts.driver_domains) == mapper]
        tables += _maptrack_tables(mapper, own, references, domains, hosts)
    return FramePlan(preset, guest, domains, hosts.driver_domains, needs, tuple(tables))


def _grant_table(references: int, version: int, limit: Limit, option: str) -> Frames:
    entries = ENTRIES_PER_FRAME[version]
    return Frames(
        f"domain, grant table of version {version}",
        -(-references // entries),
        limit.frames,
        limit.source,
        f"{references:,} references / {entries} per frame",
        option,
        required=version == 1,
    )


def _maptrack_tables(
    mapper: str, own: Sequence[Part], references: int, domains: int, hosts: Hosts
) -> list[Frames]:
    """Return the maptrack table of a mapper on stock Xen and on one with fast entries.

    Args:
        mapper: `DOM0_MAPPER` or a driver domain.
        own: the parts whose references it maps.
        references: all references of one domain.
        domains: number of domains.
        hosts: for the number of its vCPUs.
    """
    if mapper == DOM0_MAPPER:
        tracked, vcpus = limits.dom0_limit(limits.MAX_MAPTRACK_FRAMES), hosts.dom0_vcpus
        option = limits.MAX_MAPTRACK_FRAMES
    else:
        tracked, vcpus = limits.limit(limits.MAX_MAPTRACK_FRAMES), hosts.driver_vcpus
        option = (
            "max_maptrack_frames in the driver domain's configuration, or "
            f"{limits.MAX_MAPTRACK_FRAMES}"
        )
    mappings = sum(part.mappings for part in own)
    # Slow are mappings of reserved references and of those that do not fit into a fast handle.
    reserved = sum(part.mappings for part in own if part.what == RESERVED)
    beyond = max(0, references - (GREF_MAX + 1))
    slow = reserved + min(2 * beyond, mappings - reserved)
    return [
        Frames(
            f"{mapper}, maptrack {kind}",
            -(-(domains * each + vcpus) // HANDLES_PER_FRAME),
            tracked.frames,
            tracked.source,
            # _get_maptrack_handle() of Xen leaves the last entry of each vCPU's list unused
            f"({domains * each:,} mappings + 1 unused for each of {vcpus} vCPUs) / "
            f"{HANDLES_PER_FRAME} per frame",
            option,
            required=required,
        )
        for kind, each, required in (
            ("of stock Xen", mappings, True),
            ("with fast entries", slow, False),
        )
    ]
