"""The plan of a benchmark: all combinations of the values that were asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from xengt.bench.case import DECLARED, FIELD_DEFAULTS, Setup
from xengt.bench.dimension import value_text
from xengt.errors import UnmetError

REFERENCES = 256
"""References of each granter, unless the largest batch times the most threads is more."""


@dataclass(frozen=True)
class BenchPlan:
    """The values of each dimension, and how long each setup is measured.

    Args:
        values: for each dimension, in any order, the values to measure.
        samples: calls to time in each setup; None with a duration.
        duration_s: seconds to measure each setup; None with a number of samples.
        digits: significant digits of the histograms.
    """

    values: Mapping[str, Sequence[Any]]
    samples: int | None
    duration_s: float | None
    digits: int

    def to_json(self) -> dict[str, object]:
        """Return the plan as the document holds it."""
        values = {name: list(self.values[name]) for name in DECLARED}
        return {
            **values,
            "samples": self.samples,
            "duration_s": self.duration_s,
            "digits": self.digits,
        }

    def setups(self) -> list[Setup]:
        """Return every combination once, in the order to measure them.

        Raises:
            UnmetError: one of them cannot be measured; names the option to change.
        """
        names = sorted(DECLARED, key=lambda name: not DECLARED[name].outermost)
        combinations = product(*(self.values[name] for name in names))
        setups = [Setup(**dict(zip(names, values, strict=True))) for values in combinations]
        self._require_effects(setups)
        unique = list(dict.fromkeys(setup.without_unused() for setup in setups))
        for setup in unique:
            setup.check()
        return unique

    def _require_effects(self, setups: Sequence[Setup]) -> None:
        """Refuse values other than the default that have no effect on any setup."""
        first, *others = (setup.unused for setup in setups)
        for name, remedy in first.items():
            changed = [each for each in self.values[name] if each != FIELD_DEFAULTS[name]]
            if changed and all(name in unused for unused in others):
                raise UnmetError(
                    f"--{name} {value_text(changed[0])} has no effect on any setup of this run",
                    f"leave out --{name}, or {remedy}",
                )


def with_defaults(given: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Return the values of all dimensions.

    Args:
        given: the values of some dimensions.
    """
    values: dict[str, Sequence[Any]] = {}
    for name, declared in DECLARED.items():
        if name in given:
            values[name] = given[name]
        elif declared.default:
            values[name] = [declared.parse(word) for word in declared.default]
        else:
            values[name] = [FIELD_DEFAULTS[name]]
    if "references" not in given:
        largest = max(values["batch"]) * max(values["threads"])
        values["references"] = [max(REFERENCES, largest)]
    return values
