"""Texts that the HTML page and the terminal table of a scaling have in common."""

from collections.abc import Sequence

from xengt.bench.case import DECLARED
from xengt.bench.case_text import constants, phrase, varying
from xengt.report.quantity import NO_VALUE, PERCENT_CONFIDENCE
from xengt.scaling import Coefficient, ScalingDocument, ScalingRow

NAMES = tuple(name for name in DECLARED if name != "threads")
"""The dimensions of a row, which has several numbers of threads."""

EXPLANATION = (
    "Throughput X(N) of N threads is modelled as L N / (1 + s (N - 1) + k N (N - 1)), Gunther's "
    "universal scalability law. L is the throughput of one thread. The contention s is the part of "
    "an operation that is serial, such as the time for which a lock is held. The coherency k is "
    "what each pair of threads costs, such as a cache line that moves between CPUs; with k above "
    f"0, throughput has a peak. Brackets have {PERCENT_CONFIDENCE} confidence intervals."
)


def notes(document: ScalingDocument) -> list[str]:
    """Return what limits the validity of the laws, one sentence each.

    Args:
        document: the laws.
    """
    found = []
    if any(row.law.coherency is None for row in document.rows):
        found.append(
            "coherency cannot be fitted from two numbers of threads, and the contention includes "
            "it: measure three or more"
        )
    if any(row.law.contention.low is None for row in document.rows):
        found.append(
            "there are too few measurements for confidence intervals: measure more numbers of "
            "threads, or give the documents of several runs"
        )
    if any(run.document.host["emulated"] for run in document.runs):
        found.append(
            "the CPUs are emulated: the cost of a contended cache line is that of the emulator"
        )
    hosts = {(run.document.host["cpu"], run.document.host["xen_build_id"]) for run in document.runs}
    if len(hosts) > 1:
        found.append(
            "the runs are from different hosts or hypervisors: analyse the runs of each host and "
            "hypervisor separately"
        )
    return found


def varying_dimensions(rows: Sequence[ScalingRow]) -> tuple[str, ...]:
    """Return the dimensions of `NAMES` in which the setups of the rows differ.

    Args:
        rows: all rows of the document.
    """
    return varying((row.setup for row in rows), NAMES)


def title_of(row: ScalingRow, rows: Sequence[ScalingRow]) -> str:
    """Return what distinguishes a row's setup from those of the other rows.

    Args:
        row: a row.
        rows: all rows of the document.
    """
    return phrase(row.setup, varying_dimensions(rows) or ("engine", "batch"))


def shared_values(rows: Sequence[ScalingRow]) -> str:
    """Write what the setups of all rows have in common: `granter empty · batch 1`.

    Args:
        rows: all rows of the document.
    """
    return constants((row.setup for row in rows), NAMES)


def format_coefficient(coefficient: Coefficient | None) -> str:
    """Write a coefficient with its interval: `0.0312 [0.0301, 0.0323]`; `-` for None.

    Args:
        coefficient: a contention or a coherency.
    """
    if coefficient is None:
        return NO_VALUE
    value = f"{coefficient.value:.3g}"
    if coefficient.low is None or coefficient.high is None:
        return value
    return f"{value} [{coefficient.low:.3g}, {coefficient.high:.3g}]"


def format_peak(row: ScalingRow) -> str:
    """Write the number of threads with the highest throughput.

    Args:
        row: a row.

    Returns:
        `-` if throughput never falls, or if the interval of the coherency contains 0, so that it
        may not fall either.
    """
    peak, coherency = row.law.peak_threads, row.law.coherency
    if peak is None or (coherency is not None and coherency.low == 0):
        return NO_VALUE
    return f"{peak:,.0f}"


def format_residual(row: ScalingRow) -> str:
    """Write the relative difference between measured and modelled throughputs.

    Args:
        row: a row.

    Returns:
        `-` if the law has as many coefficients as throughputs, and so passes through all of them.
    """
    if row.law.contention.low is None:
        return NO_VALUE
    return f"{100 * row.law.relative_residual:.2g} %"
