"""The page of a scrape: formatted by prometheus_client once, then with new numbers.

The library takes about 25,000 instructions to format a sample of a histogram, and a page has
1,000 of them at every scrape. Here the library formats a family once, and again when its
label values change; otherwise new numbers are put into the lines that it has formatted. The text
of a family whose numbers have not changed is kept, and so is its compressed form.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from xengt.serve.http import compression, negotiation
from xengt.serve.http.compression import Part
from xengt.serve.metrics import native_histogram
from xengt.serve.metrics.metric_families import MetricFamily, MetricSource

#: formats a registry as a page
Encoder = Callable[[CollectorRegistry], bytes]
#: end mark of OpenMetrics
_END = "# EOF\n"


class _FormattedFamily:
    """A family as the library has formatted it, with the numbers of the last page.

    Attributes:
        label_values: the label values of the family when it was formatted.

    Args:
        label_values: see above.
        beginnings: the beginnings of its lines, up to their numbers, each with the comments
            above it and the end of the line before.
        end: the end of the last line, or the comments if the family has no series.
    """

    def __init__(self, label_values: object, beginnings: Sequence[str], end: str) -> None:
        """Format no number yet."""
        self.label_values = label_values
        #: beginning, number, beginning, number, ..., end
        self._texts = [*chain.from_iterable((each, "") for each in beginnings), end]
        self._numbers: Sequence[float] | None = None
        self._part = Part(b"")

    def part(self, numbers: Sequence[float]) -> Part:
        """Return the text of the family with these numbers, one for each line."""
        # Often they are those of the last page, and comparing takes far less than formatting.
        if numbers != self._numbers:
            self._texts[1::2] = [
                str(number) if type(number) is int else _text(number) for number in numbers
            ]
            self._part = Part("".join(self._texts).encode())
            self._numbers = numbers
        return self._part


def _text(number: float) -> str:
    """Format a floating-point number as the library does."""
    return str(floatToGoString(number))  # type: ignore[no-untyped-call]


class _FixedCollector(Collector):
    """A collector of given metrics, for the library to format."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class Page:
    """The page with all metrics of the agent.

    Args:
        sources: of metrics, in the order in which a page has them.
        collectors: of prometheus_client, which formats theirs for every page.
    """

    def __init__(
        self, sources: Sequence[MetricSource], collectors: Sequence[Collector] = ()
    ) -> None:
        """Format nothing yet."""
        self._sources = sources
        self._collectors = CollectorRegistry()
        for each in collectors:
            self._collectors.register(each)
        self._formatted: dict[tuple[str, str], _FormattedFamily] = {}
        self._lock = threading.Lock()

    def answer(self, accept: str) -> tuple[Sequence[Part], str]:
        """Return a page in a format that the client accepts.

        Args:
            accept: the Accept header of the request; text is the default.

        Returns:
            The parts of the page, and its content type.
        """
        if native_histogram.is_requested(accept):
            return [Part(self._openmetrics())], native_histogram.content_type()
        openmetrics = negotiation.prefers_openmetrics(accept)
        # The library gets no parameters of the client, some of which it would send back.
        encode, content_type = choose_encoder(negotiation.OPENMETRICS if openmetrics else "")
        return self._parts(encode, content_type), content_type

    def _openmetrics(self) -> bytes:
        """Return a page with native histograms, all of which the library formats."""
        with self._lock:
            families = [family for source in self._sources for family in source.families()]
            metrics = [(family.native or family.metric)() for family in families]
        return native_histogram.render(_FixedCollector([*metrics, *self._collectors.collect()]))

    def text(self) -> bytes:
        """Return a page in Prometheus' text format."""
        return compression.join(self.answer("")[0])

    def _parts(self, encode: Encoder, content_type: str) -> Sequence[Part]:
        with self._lock:
            families = list(self._families(encode, content_type))
        # Ends with the end mark of OpenMetrics, if that is the format.
        return [*families, Part(encode(self._collectors))]

    def _families(self, encode: Encoder, content_type: str) -> Iterator[Part]:
        for source in self._sources:
            for family in source.families():
                key = content_type, family.name
                formatted = self._formatted.get(key)
                if formatted is None or formatted.label_values != family.label_values:
                    formatted = self._formatted[key] = _format(family, encode)
                yield formatted.part(family.numbers)


def _format(family: MetricFamily, encode: Encoder) -> _FormattedFamily:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_FixedCollector([family.metric()]))
    beginnings, above = [], ""
    # Not splitlines(), which also splits at characters that a domain's name may contain.
    for line in encode(registry).decode().removesuffix(_END).split("\n")[:-1]:
        if line.startswith("#"):
            above += f"{line}\n"
        else:
            beginnings.append(above + line[: line.rindex(" ") + 1])
            above = "\n"
    return _FormattedFamily(family.label_values, beginnings, above)
