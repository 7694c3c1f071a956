"""The `xengt.plan/2` document: the frames that domains need, and the limits.

`xengt/documents/plan.schema.json` describes every key with its unit.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import xengt
from xengt.plan.devices import RESERVED, GuestDevices, Part, parts
from xengt.plan.presets import Preset, xapi_limit
from xengt.xen import limits
from xengt.xen.grant_table import ENTRIES_PER_FRAME, HANDLES_PER_FRAME
from xengt.xen.handle import GREF_MAX
from xengt.xen.limits import Limit

SCHEMA = "xengt.plan/2"
DOM0 = "dom0"


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames that one table needs.

    Args:
        table: the table, and the domain it belongs to.
        frames: number of 4 KiB frames that are needed.
        limit: maximum number of frames of the table.
        source: where the limit was read.
        formula: how the frames are calculated, in numbers.
        option: the option that raises the limit.
        required: False for a table of another version or hypervisor, given for comparison.
    """

    table: str
    frames: int
    limit: int
    source: str
    formula: str
    option: str
    required: bool

    @property
    def fits(self) -> bool:
        """Whether the table fits into its limit."""
        return self.frames <= self.limit


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


@dataclass(frozen=True, slots=True)
class FramePlan:
    """What domains grant pages for, and the frames they need.

    Args:
        preset: whose defaults were used; None if only xengt's.
        guest: what each domain grants pages for.
        domains: number of domains.
        driver_domains: the kinds of devices whose backends are in a driver domain.
        parts: references and mappings for each use of one domain.
        tables: frames for each table.
    """

    preset: Preset | None
    guest: GuestDevices
    domains: int
    driver_domains: tuple[str, ...]
    parts: tuple[Part, ...]
    tables: tuple[Frames, ...]

    @property
    def references(self) -> int:
        """Maximum references that a domain grants at once."""
        return sum(part.references for part in self.parts)

    @property
    def mappings(self) -> int:
        """Maximum mappings of one domain's references by all backends at once."""
        return sum(part.mappings for part in self.parts)

    @property
    def fits(self) -> bool:
        """Whether all tables fit on stock Xen with grant tables of version 1."""
        return all(table.fits for table in self.tables if table.required)

    def mapper(self, part: Part) -> str:
        """Return the domain that maps the references of a part."""
        return _mapper(part, self.driver_domains)

    def to_json(self) -> dict[str, Any]:
        """Return the document as `plan.schema.json` describes it."""
        return {
            "schema": SCHEMA,
            "xengt": xengt.__version__,
            "preset": self.preset,
            "guest": asdict(self.guest),
            "domains": self.domains,
            "driver_domains": list(self.driver_domains),
            "parts": [asdict(part) | {"mapper": self.mapper(part)} for part in self.parts],
            "references": self.references,
            "mappings": self.mappings,
            "tables": [asdict(table) | {"fits": table.fits} for table in self.tables],
            "fits": self.fits,
        }


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
    for mapper in dict.fromkeys(_mapper(part, hosts.driver_domains) for part in needs):
        own = [part for part in needs if _mapper(part, hosts.driver_domains) == mapper]
        tables += _maptrack_tables(mapper, own, references, domains, hosts)
    return FramePlan(preset, guest, domains, hosts.driver_domains, needs, tuple(tables))


def _mapper(part: Part, driver_domains: tuple[str, ...]) -> str:
    return f"driver domain of {part.what}" if part.what in driver_domains else DOM0


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
        mapper: `DOM0` or a driver domain.
        own: the parts whose references it maps.
        references: all references of one domain.
        domains: number of domains.
        hosts: for the number of its vCPUs.
    """
    if mapper == DOM0:
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
