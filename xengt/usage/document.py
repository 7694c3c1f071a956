"""The `xengt.usage/1` document: every domain's tables and mappings at one time.

`xengt/documents/usage.schema.json` says what every key means and in which unit.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import xengt
from xengt.xen.maptrack import Maptrack

SCHEMA = "xengt.usage/1"

Source = Literal["hypfs", "query_size"]


@dataclass(frozen=True, slots=True)
class DomainUsage:
    """What one domain uses; a figure is None where it could not be had.

    Args:
        domid: whose.
        name: XenStore's, or None where it has none.
        dying: destroyed, and kept by what still refers to its memory.
        grant_frames: of 4 KiB, the domain's grant table has now.
        max_grant_frames: it may have.
        maptrack_frames: of 4 KiB, the domain's maptrack table has now.
        max_maptrack_frames: it may have.
        fast_live: mappings made by the domain with a fast entry, now.
        fast_maps: and ever.
        slow_live: mappings made by the domain with an entry of its maptrack table, now.
        slow_maps: and ever.
    """

    domid: int
    name: str | None = None
    dying: bool = False
    grant_frames: int | None = None
    max_grant_frames: int | None = None
    maptrack_frames: int | None = None
    max_maptrack_frames: int | None = None
    fast_live: int | None = None
    fast_maps: int | None = None
    slow_live: int | None = None
    slow_maps: int | None = None


#: The figures of a domain, in the order they are shown in.
COUNTS = tuple(key for key in DomainUsage.__slots__ if key not in {"domid", "name", "dying"})


@dataclass(frozen=True, slots=True)
class Missing:
    """Why some of it could not be had.

    Args:
        keys: which keys of a domain are null for it.
        why: what is not there.
        remedy: what to do about it.
    """

    keys: tuple[str, ...]
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class DefaultLimit:
    """What a domain made without a limit of its own is given.

    Args:
        frames: of 4 KiB.
        source: who says so.
    """

    frames: int
    source: str


@dataclass(frozen=True, slots=True)
class Usage:
    """One reading.

    Args:
        created: when, as ISO 8601 in UTC.
        source: hypfs, or else GNTTABOP_query_size.
        maptrack: which one the hypervisor keeps.
        default_max_maptrack_frames: for domains made from now on without one of their own.
        missing: what could not be had, and why.
        domains: by domid.
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
