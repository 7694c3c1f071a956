"""A run as a log that HdrHistogram's own tools read and plot."""

from collections.abc import Iterator
from datetime import datetime
from io import StringIO

from xengt.bench.dimensions import phrase, varying
from xengt.bench.document import BenchDocument
from xengt.bench.result import Result
from xenlib_cffi.histogram import Histogram, write_log


def render(document: BenchDocument) -> str:
    """Write an interval for each result, tagged with what sets it apart.

    Values are nanoseconds of a whole call, not of an operation: a histogram
    cannot be divided by a batch without losing its digits.

    Args:
        document: the run. It tells when it ended, so the intervals, in order,
            are taken to lie right before that.
    """
    text = StringIO()
    write_log(text, _intervals(document))
    return text.getvalue()


def _intervals(document: BenchDocument) -> Iterator[tuple[str, float, float, Histogram]]:
    names = varying(result.case for result in document.results) or ("engine", "operation")
    lengths = [_seconds(result) for result in document.results]
    start = datetime.fromisoformat(document.created).timestamp() - sum(lengths)
    for result, length in zip(document.results, lengths, strict=True):
        tag = "_".join(phrase(result.case, names).replace(" · ", "/").replace(",", "").split())
        yield tag, start, length, Histogram.decode(result.histogram)
        start += length


def _seconds(result: Result) -> float:
    return result.samples * result.case.batch / result.throughput_per_s
