"""The suite: a fixed selection of setups that shows what mapping and copying cost on a host."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xengt.bench.case import DECLARED, EMPTY_GRANTER, Setup
from xengt.bench.engines.names import COPYING, EngineName
from xengt.bench.plan import REFERENCES, BenchPlan, with_defaults

BATCHES = (1, 4, 16, 32, 64, 256)
SIZES = (64, 512, 1500, 4096)
TOTAL_S = 600.0
"""Seconds that all setups of the suite take together."""
_SINGLE, _BATCH = 1, 32


@dataclass(frozen=True)
class SuitePlan:
    """Several plans that are measured as one run.

    Args:
        parts: the plans; a setup of several of them is measured once.
        duration_s: seconds to measure each setup.
        digits: significant digits of the histograms.
        complete: whether the run has ended.
        left_out: the engines and setups that could not be measured, each with the reason.
    """

    parts: tuple[BenchPlan, ...]
    duration_s: float
    digits: int = 3
    complete: bool = False
    left_out: tuple[str, ...] = ()
    samples: None = None

    def to_json(self) -> dict[str, object]:
        """Return the plan as the document holds it: the values that occur, by dimension."""
        setups = self.setups()
        values = {
            name: list(dict.fromkeys(getattr(setup, name) for setup in setups)) for name in DECLARED
        }
        return {
            **values,
            "samples": self.samples,
            "duration_s": self.duration_s,
            "digits": self.digits,
            "suite": "complete" if self.complete else "incomplete",
            "left_out": list(self.left_out),
        }

    def setups(self) -> list[Setup]:
        """Return every setup once, in the order to measure them.

        Raises:
            UnmetError: one of them cannot be measured; names the option to change.
        """
        return list(dict.fromkeys(setup for part in self.parts for setup in part.setups()))


def plan_suite(
    engines: Sequence[EngineName],
    vcpus: int,
    *,
    copy_pages: int,
    granter: str = EMPTY_GRANTER,
    duration_s: float | None = None,
    digits: int = 3,
) -> SuitePlan:
    """Return the plan of the suite for a host.

    Args:
        engines: those that this dom0 can run.
        vcpus: number of dom0's vCPUs.
        copy_pages: number of own pages that the engine copy can allocate.
        granter: the value of `--granter`.
        duration_s: seconds to measure each setup; None divides `TOTAL_S` among them.
        digits: significant digits of the histograms.
    """
    references = [max(REFERENCES, _BATCH * vcpus)]
    parts = tuple(
        BenchPlan(
            with_defaults({"granter": [granter], "references": references, **values}), None, 1.0, 3
        )
        for values in _parts(engines, vcpus, copy_pages, granter)
    )
    setups = len(SuitePlan(parts, 1.0).setups())
    return SuitePlan(parts, duration_s or round(TOTAL_S / max(setups, 1), 2), digits)


def _parts(
    engines: Sequence[EngineName], vcpus: int, copy_pages: int, granter: str
) -> Iterator[dict[str, Sequence[Any]]]:
    def usable(*names: EngineName) -> list[EngineName]:
        return [name for name in names if name in engines]

    mapping = usable(EngineName.HYPERCALL, EngineName.GNTDEV)
    copying = usable(*COPYING)
    threads = _numbers_of_threads(vcpus)
    # The engine copy needs a page for each operation of a batch of each thread.
    copying_threads = [number for number in threads if _BATCH * number <= copy_pages]
    parts: list[dict[str, Sequence[Any]]] = [
        {"engine": mapping, "batch": BATCHES},
        {"engine": mapping, "batch": (_SINGLE, _BATCH), "threads": threads},
        {"engine": mapping, "batch": (_BATCH,), "mappings": (1, 3)},
        {"engine": copying, "batch": (_SINGLE, _BATCH), "bytes": SIZES},
        {
            "engine": usable(EngineName.GNTDEV),
            "batch": (_SINGLE, _BATCH),
            "touch": ("read", "copy"),
            "bytes": SIZES,
        },
        {"engine": usable(EngineName.COPY), "batch": (_BATCH,), "threads": copying_threads},
        {"engine": usable(EngineName.GNTDEV_COPY), "batch": (_BATCH,), "threads": threads},
    ]
    # It maps no pages of dom0 itself.
    if EngineName.FOREIGN in engines and granter != "self":
        parts.append({"engine": (EngineName.FOREIGN,), "batch": (_SINGLE, _BATCH)})
    yield from (part for part in parts if part["engine"] and part.get("threads", [1]))


def _numbers_of_threads(vcpus: int) -> list[int]:
    """Return the powers of two up to the number of vCPUs, and that number."""
    powers = [1 << exponent for exponent in range(vcpus.bit_length()) if 1 << exponent <= vcpus]
    return list(dict.fromkeys([*powers, vcpus]))
