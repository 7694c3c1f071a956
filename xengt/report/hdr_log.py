"""The histograms of a run as a log for the tools of the HdrHistogram project."""

from collections.abc import Iterator
from datetime import datetime
from io import StringIO

from xengt.bench.case_text import phrase, varying
from xengt.bench.document import BenchDocument
from xengt.bench.result import Result
from xenlib_cffi.histogram import Histogram, write_log


def render(document: BenchDocument) -> str:
    """Return a log with one interval for each result, tagged with the dimensions of its case.

    Values are nanoseconds per call, not per operation, because dividing a histogram by the batch
    size would reduce its precision. The document has only the time at which the run ended, so the
    intervals are placed one after another, the last one ending at that time.

    Args:
        document: the run.
    """
    text = StringIO()
    write_log(text, _intervals(document))
    return text.getvalue()


def _intervals(document: BenchDocument) -> Iterator[tuple[str, float, float, Histogram]]:
    in_tag = varying(result.case for result in document.results) or ("engine", "operation")
    lengths = [_seconds(result) for result in document.results]
    start = datetime.fromisoformat(document.created).timestamp() - sum(lengths)
    for result, length in zip(document.results, lengths, strict=True):
        tag = "_".join(phrase(result.case, in_tag).replace(" · ", "/").replace(",", "").split())
        yield tag, start, length, Histogram.decode(result.histogram)
        start += length


def _seconds(result: Result) -> float:
    return result.samples * result.case.batch / result.throughput_per_s
