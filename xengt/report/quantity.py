"""Formatting of durations, rates and ratios with a suitable unit."""

from xengt.statistics.confidence import CONFIDENCE
from xengt.xen.kernel import Clock

NO_VALUE = "-"
"""Stands in a table for a figure that does not exist or is not available."""
PERCENT_CONFIDENCE = f"{100 * CONFIDENCE:g} %"
"""The confidence level of all intervals, in words."""

_TIME_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_COUNT_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def duration(ns: float, clock: Clock = "time") -> str:
    """Format a duration, or the number of instructions that it stands for.

    Args:
        ns: nanoseconds of the host's clock.
        clock: what a nanosecond of the host's clock is.
    """
    if clock == "instructions":
        return f"{ns:,.{0 if abs(ns) >= 100 else 1}f} instr"  # noqa: PLR2004
    number, unit = _scaled(ns, _TIME_UNITS)
    return f"{number} {unit}"


def rate(per_s: float) -> str:
    """Format a rate.

    Args:
        per_s: operations per second.
    """
    number, prefix = _scaled(per_s, _COUNT_PREFIXES)
    return f"{number} {prefix}/s" if prefix else f"{number}/s"


def duration_tick(ns: float, clock: Clock = "time") -> str:
    """Format a round duration, or a number of instructions, as an axis label.

    Args:
        ns: nanoseconds of the host's clock.
        clock: what a nanosecond of the host's clock is.
    """
    if clock == "instructions":
        return f"{ns:,g}"
    size, unit = _unit(ns, _TIME_UNITS)
    return f"{ns / size:g} {unit}"


def rate_tick(per_s: float) -> str:
    """Format a round rate as a label of an axis whose title has the unit.

    Args:
        per_s: operations per second.
    """
    size, prefix = _unit(per_s, _COUNT_PREFIXES)
    return f"{per_s / size:g} {prefix}".rstrip()


def interval(low: float | None, high: float | None) -> str:
    """Format the confidence interval of a ratio.

    Args:
        low: the lower end; None without an interval.
        high: the upper end; None without an interval.
    """
    return NO_VALUE if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> tuple[str, str]:
    # The unit is chosen after rounding: 999.6 ns is 1.00 µs, not 1000 ns.
    rounded = float(f"{value:.3g}")
    size, unit = _unit(rounded, units)
    return _three_digits(rounded / size), unit


def _unit(value: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    return next((unit for unit in units if abs(value) >= unit[0]), units[-1])


def _three_digits(number: float) -> str:
    size = abs(number)
    return f"{number:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"  # noqa: PLR2004
