"""The page that a scrape is given: what prometheus_client writes, of which only the numbers change.

The library takes some 25,000 instructions to write a sample of a histogram, and a page has
2,000 of them at every scrape. Here it writes a family once, and again when its series change;
in between, numbers are put into the lines it has written.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from xengt.serve.metrics import native_histogram
from xengt.serve.metrics.metric_families import MetricFamily, MetricSource


@dataclass(frozen=True)
class _Written:
    """A family as the library has written it.

    Attributes:
        shape: it had then.
        beginnings: of its lines, up to their numbers, with the comments above and the end of the
            line before.
        end: of the last line; or comments, of a family without a series.
    """

    shape: object
    beginnings: tuple[str, ...]
    end: str

    def text(self, numbers: Sequence[float]) -> str:
        """Return it with other numbers, one a line."""
        # In C but for the look at each number: these are most of a page.
        written = [str(number) if type(number) is int else _text(number) for number in numbers]
        return "".join([*chain.from_iterable(zip(self.beginnings, written, strict=True)), self.end])


def _text(number: float) -> str:
    """Write a number that is no whole one, which the library knows how to."""
    return str(floatToGoString(number))  # type: ignore[no-untyped-call]


class _Just(Collector):
    """One metric, or those of some sources, for the library to write."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class Page:
    """All that is told.

    Args:
        sources: in the order in which they are told.
        others: collectors of the library's own; written by it each time.
    """

    def __init__(self, sources: Sequence[MetricSource], others: Sequence[Collector] = ()) -> None:
        """Write nothing yet."""
        self._sources = sources
        self._others = CollectorRegistry()
        for each in others:
            self._others.register(each)
        self._written: dict[str, _Written] = {}
        self._lock = threading.Lock()

    def answer(self, accept: str) -> tuple[bytes, str]:
        """Write it as it is asked for.

        Args:
            accept: the header of the request; whatever it says, text can be had.

        Returns:
            The page, and its type.
        """
        if native_histogram.asked_for(accept):
            return self._openmetrics(), native_histogram.content_type()
        return self.text(), CONTENT_TYPE_LATEST

    def _openmetrics(self) -> bytes:
        """Write all of it by the library, native histograms included."""
        with self._lock:
            families = [family for source in self._sources for family in source.families()]
            metrics = [(family.native or family.metric)() for family in families]
        return native_histogram.write(_Just([*metrics, *self._others.collect()]))

    def text(self) -> bytes:
        """Write it, in Prometheus' text format, as everything is now."""
        with self._lock:
            parts = list(self._parts())
        return "".join(parts).encode() + generate_latest(self._others)

    def _parts(self) -> Iterator[str]:
        for source in self._sources:
            for family in source.families():
                written = self._written.get(family.name)
                if written is None or written.shape != family.shape:
                    written = self._written[family.name] = _write(family)
                yield written.text(family.numbers)


def _write(family: MetricFamily) -> _Written:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Just([family.metric()]))
    beginnings, above = [], ""
    # Not splitlines(): a domain's name may have what only Python takes for the end of a line.
    for line in generate_latest(registry).decode().split("\n")[:-1]:
        if line.startswith("#"):
            above += f"{line}\n"
        else:
            beginnings.append(above + line[: line.rindex(" ") + 1])
            above = "\n"
    return _Written(family.shape, tuple(beginnings), above)
