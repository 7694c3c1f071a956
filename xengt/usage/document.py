"""The `xengt.usage/2` document: the tables and mappings of all domains at one time.

`xengt/documents/usage.schema.json` describes every key with its unit.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import UUID

import xengt
from xengt.xen.maptrack import Maptrack

SCHEMA = "xengt.usage/2"

Source = Literal["hypfs", "query_size", "console"]


@dataclass(frozen=True, slots=True)
class MappedBy:
    """The references of a domain that one other domain maps, as debug key g prints them.

    A mapping for the CPU and for devices at once counts as both.

    Args:
        domid: the mapper.
        references: number of references that it maps.
        grefs: these references, as ranges such as "8-263,300".
        host_writable: mappings of them for the CPU, writable.
        host_readonly: mappings of them for the CPU, read-only.
        device_writable: mappings of them for devices, writable.
        device_readonly: mappings of them for devices, read-only.
    """

    domid: int
    references: int
    grefs: str
    host_writable: int
    host_readonly: int
    device_writable: int
    device_readonly: int


# Not frozen, because that makes it take ten times as long to create one.
@dataclass(slots=True)
class DomainUsage:
    """The tables and mappings of one domain; a figure is None if it is not available.

    Args:
        domid: the domain.
        name: its name in XenStore; None if it has none.
        uuid: the UUID that its toolstack chose.
        own: whether xengt created it, for a benchmark or for the agent's probe.
        dying: whether it is destroyed but still exists, because its memory is referenced.
        mapped_by: who maps its references; None unless it was read from Xen's console.
        grant_frames: size of its grant table in 4 KiB frames.
        max_grant_frames: maximum size of its grant table in 4 KiB frames.
        maptrack_frames: size of its maptrack table in 4 KiB frames.
        max_maptrack_frames: maximum size of its maptrack table in 4 KiB frames.
        fast_live: its present mappings that are recorded in a granter's table.
        fast_maps: all such mappings it made since its creation.
        slow_live: its present mappings that are recorded in its maptrack table.
        slow_maps: all such mappings it made since its creation.
        tlb_flushes: TLB flushes for batches of mappings that it unmapped, or of rejected unmaps.
        skipped_tlb_flushes: batches that it unmapped without a TLB flush, because no CPU had
            accessed their pages.
    """

    domid: int
    name: str | None = None
    uuid: str = str(UUID(int=0))
    own: bool = False
    dying: bool = False
    mapped_by: tuple[MappedBy, ...] | None = None
    grant_frames: int | None = None
    max_grant_frames: int | None = None
    maptrack_frames: int | None = None
    max_maptrack_frames: int | None = None
    fast_live: int | None = None
    fast_maps: int | None = None
    slow_live: int | None = None
    slow_maps: int | None = None
    tlb_flushes: int | None = None
    skipped_tlb_flushes: int | None = None


#: The keys of a domain's figures, in the order of the fields of `DomainUsage`.
GRANT_SIZES = ("grant_frames", "max_grant_frames")
MAPTRACK_SIZES = ("maptrack_frames", "max_maptrack_frames")
MAPPINGS = ("fast_live", "fast_maps", "slow_live", "slow_maps")
FLUSHES = ("tlb_flushes", "skipped_tlb_flushes")
COUNTS = (*GRANT_SIZES, *MAPTRACK_SIZES, *MAPPINGS, *FLUSHES)


@dataclass(frozen=True, slots=True)
class Missing:
    """A reason for figures that are not available.

    Args:
        keys: the keys of a domain that are null for this reason.
        why: the reason.
        remedy: what the user can change.
    """

    keys: tuple[str, ...]
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class DefaultLimit:
    """The maptrack limit of a domain that is created without its own limit.

    Args:
        frames: number of 4 KiB frames.
        source: where the limit was read.
    """

    frames: int
    source: str


@dataclass(frozen=True, slots=True)
class Usage:
    """One reading of all domains.

    Args:
        created: start of the reading, ISO 8601 in UTC.
        source: where the figures were read: hypfs, GNTTABOP_query_size, or it and Xen's console.
        maptrack: how the hypervisor tracks mappings.
        default_max_maptrack_frames: the limit of domains created without their own.
        missing: the figures that are not available, with the reasons.
        domains: the domains, by ascending domid.
    """

    created: str
    source: Source
    maptrack: Maptrack
    default_max_maptrack_frames: DefaultLimit
    missing: tuple[Missing, ...]
    domains: tuple[DomainUsage, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document as `usage.schema.json` describes it."""
        return {"schema": SCHEMA, "xengt": xengt.__version__, **asdict(self)}
