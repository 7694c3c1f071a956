"""The `xengt.plan/1` document: the frames that domains need, and the limits.

`xengt/documents/plan.schema.json` describes every key with its unit.
"""

from dataclasses import asdict, dataclass
from typing import Any

import xengt
from xengt.plan.devices import GuestDevices, Part, parts
from xengt.xen import limits
from xengt.xen.grant_table import ENTRIES_PER_FRAME, HANDLES_PER_FRAME
from xengt.xen.handle import GREF_MAX
from xengt.xen.limits import Limit

SCHEMA = "xengt.plan/1"


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
class FramePlan:
    """The devices of domains, and the frames they need.

    Args:
        guest: the devices of each domain.
        domains: number of domains.
        parts: references and mappings for each kind of device of one domain.
        tables: frames for each table.
    """

    guest: GuestDevices
    domains: int
    parts: tuple[Part, ...]
    tables: tuple[Frames, ...]

    @property
    def references(self) -> int:
        """Maximum references that a domain grants at once."""
        return sum(part.references for part in self.parts)

    @property
    def mappings(self) -> int:
        """Maximum mappings of one domain's references by dom0 at once."""
        return sum(part.mappings for part in self.parts)

    @property
    def fits(self) -> bool:
        """Whether all tables fit on stock Xen with grant tables of version 1."""
        return all(table.fits for table in self.tables if table.required)

    def to_json(self) -> dict[str, Any]:
        """Return the document as `plan.schema.json` describes it."""
        return {
            "schema": SCHEMA,
            "xengt": xengt.__version__,
            "guest": asdict(self.guest),
            "domains": self.domains,
            "parts": [asdict(part) for part in self.parts],
            "references": self.references,
            "mappings": self.mappings,
            "tables": [asdict(table) | {"fits": table.fits} for table in self.tables],
            "fits": self.fits,
        }


def plan_frames(guest: GuestDevices, domains: int, *, dom0_vcpus: int, pv_dom0: bool) -> FramePlan:
    """Calculate the frames that domains need, and read the limits.

    The limits are read with `xenhypfs_read` and `xc_version` on a machine with Xen.

    Args:
        guest: the devices of each domain.
        domains: number of domains.
        dom0_vcpus: number of vCPUs of dom0, the mapper.
        pv_dom0: whether dom0 is PV, where gntdev maps each reference twice.
    """
    needs = tuple(parts(guest, user_mappings=2 if pv_dom0 else 1))
    references = sum(part.references for part in needs)
    mappings = domains * sum(part.mappings for part in needs)
    # Slow are mappings of reserved references and of those that do not fit into a fast handle.
    beyond = max(0, references - (GREF_MAX + 1))
    slow = domains * (needs[0].mappings + min(2 * beyond, sum(part.mappings for part in needs[1:])))
    granted = limits.limit(limits.MAX_FRAMES)
    tracked = limits.dom0_limit(limits.MAX_MAPTRACK_FRAMES)
    return FramePlan(
        guest,
        domains,
        needs,
        (
            *(_grant_table(references, version, granted) for version in ENTRIES_PER_FRAME),
            _maptrack_table("dom0, maptrack of stock Xen", mappings, dom0_vcpus, tracked),
            _maptrack_table("dom0, maptrack with fast entries", slow, dom0_vcpus, tracked),
        ),
    )


def _grant_table(references: int, version: int, limit: Limit) -> Frames:
    entries = ENTRIES_PER_FRAME[version]
    return Frames(
        f"domain, grant table of version {version}",
        -(-references // entries),
        limit.frames,
        limit.source,
        f"{references:,} references / {entries} per frame",
        f"max_grant_frames in the domain's configuration, or {limits.MAX_FRAMES}",
        required=version == 1,
    )


def _maptrack_table(table: str, mappings: int, vcpus: int, limit: Limit) -> Frames:
    return Frames(
        table,
        -(-(mappings + vcpus) // HANDLES_PER_FRAME),
        limit.frames,
        limit.source,
        # _get_maptrack_handle() of Xen leaves the last entry of each vCPU's list unused
        f"({mappings:,} mappings + 1 unused for each of {vcpus} vCPUs) / "
        f"{HANDLES_PER_FRAME} per frame",
        limits.MAX_MAPTRACK_FRAMES,
        required="stock" in table,
    )
