"""Texts and columns that the HTML page and the terminal table of a run have in common."""

from xengt.bench.result import Result
from xengt.report.quantity import NO_VALUE, duration
from xengt.xen.host import Host
from xengt.xen.kernel import Clock

PERCENTILES = (
    *(("min", "min"), ("p50", "p50"), ("p90", "p90")),
    *(("p99", "p99"), ("p99.9", "p99_9"), ("max", "max")),
)
"""The title of each latency column and the field of `Latency`."""

COLUMNS = ("overhead", *(title for title, _ in PERCENTILES), "throughput", "outliers")
"""The titles of the columns of figures."""

EXPLANATION = (
    "Latency is per operation: the duration of a call divided by its batch size. Overhead is the "
    "measurement overhead: the latency per operation of a call that is rejected at once, or, for "
    "the engine persistent, which makes no call, of reading the clock. Outliers are samples beyond "
    "p75 + 3 IQR; all figures include them."
)


def clock_of(host: Host) -> Clock:
    """Return what a nanosecond of a host's clock is.

    Args:
        host: the host of a bench document.
    """
    return host.get("clock", "time")


def on_pcpus(host: Host) -> str:
    """Return the number of pCPUs as the end of a phrase about vCPUs; "" if it is unknown.

    Args:
        host: the host of a bench document.
    """
    return f" on {host['pcpus']} pCPUs" if "pcpus" in host else ""


def describe_iommu(host: Host) -> str:
    """Return the IOMMU mode of dom0, and whether mappings have bus addresses.

    Args:
        host: the host of a bench document.
    """
    return host["iommu"] + (", one bus address per mapping" if host.get("bus_addresses") else "")


def format_overhead(result: Result, clock: Clock) -> str:
    """Write the measurement overhead per operation.

    Args:
        result: a result; one of an earlier version may have no measurement overhead.
        clock: the clock of the result's host.
    """
    return NO_VALUE if result.floor_ns is None else duration(result.floor_ns, clock)


def format_outliers(result: Result, clock: Clock) -> str:
    """Write the number of outliers and the latency above which a sample is one.

    Args:
        result: a result.
        clock: the clock of the result's host.
    """
    outliers = result.outliers
    if not outliers.count:
        return "none"
    return f"{outliers.count:,} > {duration(outliers.above_ns, clock)}"
