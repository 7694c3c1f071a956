"""Quantities in words: three significant digits and the unit that suits them."""

from xengt.xen.kernel import Clock

_TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_COUNTS = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def duration(ns: float, clock: Clock = "time") -> str:
    """Write a time, or the number of instructions that it stands for.

    Args:
        ns: nanoseconds of the host's clock.
        clock: what such a nanosecond is.
    """
    if clock == "instructions":
        return f"{ns:,.{0 if abs(ns) >= 100 else 1}f} instr"  # noqa: PLR2004
    number, unit = _scaled(ns, _TIMES)
    return f"{number} {unit}"


def rate(per_s: float) -> str:
    """Write a number of operations per second.

    Args:
        per_s: operations per second.
    """
    number, unit = _scaled(per_s, _COUNTS)
    return f"{number} {unit}/s" if unit else f"{number}/s"


def duration_tick(ns: float, clock: Clock = "time") -> str:
    """Write a round time, or number of instructions, on an axis, without digits it does not need.

    Args:
        ns: nanoseconds of the host's clock.
        clock: what such a nanosecond is.
    """
    if clock == "instructions":
        return f"{ns:,g}"
    size, unit = _unit(ns, _TIMES)
    return f"{ns / size:g} {unit}"


def rate_tick(per_s: float) -> str:
    """Write a round number of operations per second on an axis that names the unit.

    Args:
        per_s: operations per second.
    """
    size, unit = _unit(per_s, _COUNTS)
    return f"{per_s / size:g} {unit}".rstrip()


def interval(low: float | None, high: float | None) -> str:
    """Write where a ratio's interval begins and ends.

    Args:
        low: where it begins, or None when there is none.
        high: where it ends, or None likewise.
    """
    return "-" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> tuple[str, str]:
    # 999.6 ns is 1.00 µs, not 1000 ns: choose the unit after rounding.
    rounded = float(f"{value:.3g}")
    size, unit = _unit(rounded, units)
    return _three_digits(rounded / size), unit


def _unit(value: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    return next((each for each in units if abs(value) >= each[0]), units[-1])


def _three_digits(number: float) -> str:
    size = abs(number)
    return f"{number:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"  # noqa: PLR2004
