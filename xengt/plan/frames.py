"""The `xengt.plan/1` document: what domains need, beside what they are given.

`xengt/documents/plan.schema.json` says what every key means and in which unit.
"""

from dataclasses import asdict, dataclass
from typing import Any

import xengt
from xengt.plan.devices import GuestDevices, Part, parts
from xengt.xen import limits
from xengt.xen.handle import GREF_MAX
from xengt.xen.limits import Limit

SCHEMA = "xengt.plan/1"
#: Entries in a frame of a grant table (`SHGNT_PER_PAGE_V1`, `_V2`), by its version.
GRANTS_A_FRAME = {1: 512, 2: 256}


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of one table that are needed.

    Args:
        table: whose, and which.
        frames: of 4 KiB.
        limit: how many there may be.
        source: who says so.
        formula: of the frames, in numbers.
        option: what raises the limit.
        required: False where it is told for comparison: another hypervisor, another version.
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
        """Whether the limit is enough."""
        return self.frames <= self.limit


@dataclass(frozen=True, slots=True)
class FramePlan:
    """What is asked, and what comes of it.

    Args:
        guest: one of the domains.
        domains: how many such there are.
        parts: what each kind of thing needs, in one domain.
        tables: the frames needed.
    """

    guest: GuestDevices
    domains: int
    parts: tuple[Part, ...]
    tables: tuple[Frames, ...]

    @property
    def references(self) -> int:
        """Of a domain, granted at once."""
        return sum(part.references for part in self.parts)

    @property
    def mappings(self) -> int:
        """Of dom0, of one domain's references at once."""
        return sum(part.mappings for part in self.parts)

    @property
    def fits(self) -> bool:
        """Whether the limits are enough, of a version 1 table and a stock hypervisor."""
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
    """Work out what so many domains need, and ask what the limits are.

    Stands on `xenhypfs_read` and `xc_version` for limits, where there is a Xen.

    Args:
        guest: each of the domains.
        domains: how many.
        dom0_vcpus: of dom0, which maps.
        pv_dom0: whether gntdev in dom0 maps each reference twice.
    """
    found = tuple(parts(guest, user_mappings=2 if pv_dom0 else 1))
    references = sum(part.references for part in found)
    mappings = domains * sum(part.mappings for part in found)
    # What has no fast entry: the reserved references, and those that a handle has no room for.
    beyond = max(0, references - (GREF_MAX + 1))
    slow = domains * (found[0].mappings + min(2 * beyond, sum(part.mappings for part in found[1:])))
    granted = limits.limit(limits.MAX_FRAMES)
    tracked = limits.limit(limits.MAX_MAPTRACK_FRAMES)
    return FramePlan(
        guest,
        domains,
        found,
        (
            *(_grant_table(references, version, granted) for version in GRANTS_A_FRAME),
            _maptrack_table("dom0, maptrack of stock Xen", mappings, dom0_vcpus, tracked),
            _maptrack_table("dom0, maptrack with fast entries", slow, dom0_vcpus, tracked),
        ),
    )


def _grant_table(references: int, version: int, limit: Limit) -> Frames:
    size = GRANTS_A_FRAME[version]
    return Frames(
        f"domain, grant table of version {version}",
        -(-references // size),
        limit.frames,
        limit.source,
        f"{references:,} references / {size}",
        f"max_grant_frames in the domain's configuration, or {limits.MAX_FRAMES}",
        required=version == 1,
    )


def _maptrack_table(table: str, mappings: int, vcpus: int, limit: Limit) -> Frames:
    size = limits.HANDLES_A_FRAME
    return Frames(
        table,
        -(-(mappings + vcpus) // size),
        limit.frames,
        limit.source,
        # as `_get_maptrack_handle()` keeps them
        f"({mappings:,} mappings + 1 kept free by each of {vcpus} vCPUs) / {size}",
        limits.MAX_MAPTRACK_FRAMES,
        required="stock" in table,
    )
