"""What `xengt compare` found, for somebody who sees it for the first time."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

PAIR, NET = "net_pair_ns", "net_p50_ns"
BELOW = "cannot tell: below the measurement overhead"


def table(comparison: Mapping[str, Any]) -> str:
    """Return a table of what operations cost on both sides, the measurement overhead excluded.

    Args:
        comparison: an `xengt.compare/2` document.
    """
    unit = "Instructions" if _counts(comparison) else "Nanoseconds"
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


def paragraph(comparison: Mapping[str, Any]) -> str:
    """Return the result in plain words.

    Args:
        comparison: an `xengt.compare/2` document.
    """
    known = [row for row in _rows(comparison, PAIR) if row["ratio"] is not None]
    if not known:
        return "Whether a map/unmap pair costs less with the patches, this run " + BELOW + "."
    what = "instructions" if _counts(comparison) else "time"
    parts = []
    for row in sorted(known, key=lambda row: -row["batch"]):
        change = 100 * (row["ratio"] - 1)
        more = "fewer" if what == "instructions" else "less"
        much = f"{abs(change):.1f} % {more if change < 0 else 'more'} {what}"
        sure = row["low"] is None or not row["low"] <= 1 <= row["high"]
        parts.append(
            f"{much if sure else 'as much time, as far as these boots show,'} in batches of "
            f"{row['batch']}"
        )
    return (
        f"With the patches, the hypervisor takes {', and '.join(parts)}, to map and unmap a grant, "
        "compared with stock Xen."
    )


def _counts(comparison: Mapping[str, Any]) -> bool:
    return bool(comparison["clock"] == "instructions")


def _rows(comparison: Mapping[str, Any], metric: str) -> list[Row]:
    return [row for row in comparison["results"] if row["metric"] == metric]


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    words = (0, 1, len(widths) - 1)
    return [
        "  ".join(
            cell.ljust(width) if at in words else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
