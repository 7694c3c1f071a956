"""Limitations of a comparison: too few runs, runs of one boot, hosts or plans that differ."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from xengt.bench.case_text import DIMENSIONS, phrase
from xengt.runs.run_file import RunFile, common_clock

_RECOMMENDED_RUNS = 5
"""Runs per side. With fewer, the intervals are correct but wide."""


def find_limitations(base: Sequence[RunFile], new: Sequence[RunFile]) -> Iterator[str]:
    """Find what limits the validity or the precision of a comparison.

    Args:
        base: the base runs, at least one.
        new: the new runs, at least one.

    Yields:
        One sentence for each limitation, with a remedy where there is one.
    """
    yield from _number_of_runs(base, new)
    yield from _shared_boots(base, new)
    for section, names in (
        ("host", [name for name in _host_keys([*base, *new]) if name != "boot_id"]),
        ("plan", list(base[0].document.plan)),
    ):
        for name in names:
            yield from _differing(
                name, _distinct_values(base, section, name), _distinct_values(new, section, name)
            )
    for side, runs in (("base", base), ("new", new)):
        yield from _incomplete_cases(side, runs)


def _number_of_runs(base: Sequence[RunFile], new: Sequence[RunFile]) -> Iterator[str]:
    fewest = min(len(base), len(new))
    if fewest == 1:
        # Instruction counts repeat exactly and need no interval.
        if common_clock([*base, *new]) != "instructions":
            yield (
                "the ratios have no confidence interval, because a side has only one run: "
                f"reboot between runs and make at least {_RECOMMENDED_RUNS} runs on each side"
            )
    elif fewest < _RECOMMENDED_RUNS:
        yield (
            f"{len(base)} base runs and {len(new)} new runs give wide confidence intervals: "
            f"make at least {_RECOMMENDED_RUNS} runs on each side"
        )
    if fewest > 1 and len(base) != len(new):
        yield (
            f"the sides have {len(base)} base runs and {len(new)} new runs: with unequal numbers "
            "the confidence intervals are valid only if both sides have the same noise; "
            "make as many runs on each side"
        )


def _shared_boots(base: Sequence[RunFile], new: Sequence[RunFile]) -> Iterator[str]:
    for side, runs in (("base", base), ("new", new)):
        for boot, count in Counter(run.boot_id for run in runs).items():
            if count > 1:
                yield (
                    f"{count} of the {side} runs are from the same boot ({boot[:8]}) and are not "
                    "independent: the confidence intervals are too narrow; reboot between runs"
                )
    for boot in {run.boot_id for run in base} & {run.boot_id for run in new}:
        yield (
            f"base and new have runs from the same boot ({boot[:8]}), and so of the same "
            "hypervisor: boot each side's hypervisor before its runs"
        )


def _host_keys(runs: Sequence[RunFile]) -> dict[str, object]:
    """Return the host keys of all runs: documents of older versions have fewer."""
    return {name: None for run in runs for name in run.document.host}


def _distinct_values(runs: Sequence[RunFile], section: str, name: str) -> list[str]:
    values = (getattr(run.document, section).get(name) for run in runs)
    return list(dict.fromkeys(json.dumps(value, ensure_ascii=False) for value in values))


def _differing(name: str, base: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    if len(base) == len(new) == 1:
        if base != new:
            yield f"{name} differs: base {base[0]}, new {new[0]}"
        return
    for side, values in (("base", base), ("new", new)):
        if len(values) > 1:
            yield f"{name} differs among the {side} runs: {', '.join(values)}"
    if set(base) != set(new):
        yield f"{name} differs: base {', '.join(base)}; new {', '.join(new)}"


def _incomplete_cases(side: str, runs: Sequence[RunFile]) -> Iterator[str]:
    counts = Counter(result.case for run in runs for result in run.document.results)
    for case, count in counts.items():
        if count < len(runs):
            yield (
                f"only {count} of {len(runs)} {side} runs measured the case "
                f"{phrase(case, DIMENSIONS)}"
            )
