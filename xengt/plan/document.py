"""The `xengt.plan/2` document: the frames that domains need, and the limits.

`xengt/documents/plan.schema.json` describes every key with its unit.
"""

from dataclasses import asdict, dataclass
from typing import Any

import xengt
from xengt.plan.devices import GuestDevices, Part
from xengt.plan.presets import Preset

SCHEMA = "xengt.plan/2"
DOM0_MAPPER = "dom0"
"""The name of dom0 as the domain that maps the references of a part."""


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
        return mapper_of(part, self.driver_domains)

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


def mapper_of(part: Part, driver_domains: tuple[str, ...]) -> str:
    """Return the domain that maps the references of a part.

    Args:
        part: the references and mappings for one use of a domain.
        driver_domains: the kinds of devices whose backends are in a driver domain.
    """
    return f"driver domain of {part.what}" if part.what in driver_domains else DOM0_MAPPER
