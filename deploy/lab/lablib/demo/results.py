"""The output of the demo: a table and a summary of an `xengt compare` document."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

PAIR, NET = "net_pair_ns", "net_p50_ns"


def table(comparison: Mapping[str, Any]) -> str:
    """Return a table of each operation's cost on both sides, measurement overhead excluded.

    Args:
        comparison: an `xengt.compare/2` document.
    """
    unit = "Instructions" if _counts_instructions(comparison) else "Nanoseconds"
    rows = [row for metric in (NET, PAIR) for row in _rows(comparison, metric)]
    threads = len({row["threads"] for row in rows}) > 1
    heads = ["engine", "operation", "batch", *(["threads"] if threads else []), "stock", "patched"]
    lines = [[*heads, "ratio", ""]]
    for row in sorted(rows, key=lambda row: (row["engine"] != "hypercall", row["batch"])):
        size = [str(row["batch"]), *([str(row["threads"])] if threads else [])]
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.3f}"
        figures = [f"{row[side]['mean']:,.0f}" for side in ("base", "new")]
        lines.append(
            [row["engine"], row["operation"], *size, *figures, ratio, row["verdict"]],
        )
    title = f"{unit} per operation (medians; the measurement overhead is excluded):"
    return "\n".join([title, "", *_aligned(lines)])


def summary(comparison: Mapping[str, Any]) -> str:
    """Return one sentence about the cost of a map/unmap pair with and without the patches.

    Args:
        comparison: an `xengt.compare/2` document.
    """
    known = [row for row in _rows(comparison, PAIR) if row["ratio"] is not None]
    if not known:
        return (
            "This run does not show whether the patches change the cost of a map/unmap pair: the"
            " cost is below the measurement overhead."
        )
    unit = "instructions" if _counts_instructions(comparison) else "time"
    parts = []
    for row in sorted(known, key=lambda row: -row["batch"]):
        change = 100 * (row["ratio"] - 1)
        less = "fewer" if unit == "instructions" else "less"
        difference = f"{abs(change):.1f} % {less if change < 0 else 'more'} {unit}"
        significant = row["low"] is None or not row["low"] <= 1 <= row["high"]
        parts.append(
            f"{difference if significant else 'the same time, within the confidence interval,'}"
            f" in batches of {row['batch']}"
        )
    return (
        f"Compared with stock Xen, a map/unmap pair on patched Xen takes {', and '.join(parts)}"
        " (measurement overhead excluded)."
    )


def _counts_instructions(comparison: Mapping[str, Any]) -> bool:
    return bool(comparison["clock"] == "instructions")


def _rows(comparison: Mapping[str, Any], metric: str) -> list[Row]:
    return [row for row in comparison["results"] if row["metric"] == metric]


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text_columns = (0, 1, len(widths) - 1)
    return [
        "  ".join(
            cell.ljust(width) if at in text_columns else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
