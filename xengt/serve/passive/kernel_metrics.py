"""Metrics of the grant calls that dom0's kernel times."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import accumulate, product

from xengt.errors import FailedError, UnmetError, XengtError
from xengt.serve.config import PassiveOptions
from xengt.serve.metrics import definitions
from xengt.serve.metrics.metric_families import (
    MetricFamily,
    family,
    histogram,
    single,
)
from xengt.serve.passive import guard, tracefs
from xengt.serve.passive.kernel_histogram import HistogramEntry, entries

log = logging.getLogger(__name__)

_OTHER = "other"
CALLERS = ("blkback", "netback", "gntdev", _OTHER)
#: beginning of a module's name, or of a function's name in the kernel itself → driver. In
#: Linux only blkback calls gnttab_unmap_refs_sync(), whose `done` is unmap_refs_callback.
_DRIVERS = {
    "xen_blkback": "blkback",
    "xen_netback": "netback",
    "xen_gntdev": "gntdev",
    "xen_blkbk_": "blkback",
    "unmap_refs_callback": "blkback",
    "xenvif_": "netback",
    "gntdev_": "gntdev",
    "__unmap_grant_pages": "gntdev",
}
#: powers of two in nanoseconds, 256 ns to 1.07 s: the bucket bounds
_FIRST, _LAST = 8, 30
_NS = 1e-9
BOUNDS_S = tuple(float(f"{2**power * _NS:.9g}") for power in range(_FIRST, _LAST + 1))
#: places in the cumulative counts of the lean profile's bounds: 4 µs, 262 µs, 17 ms, 1.07 s, +Inf
_LEAN_PLACES = (4, 10, 16, 22, -1)
_NAMES = (*map(repr, BOUNDS_S), "+Inf")


def caller_of(entry: HistogramEntry) -> str:
    """Return the driver that made the calls of an entry, one of `CALLERS`."""
    name = entry.module or entry.symbol
    return next((driver for known, driver in _DRIVERS.items() if name.startswith(known)), _OTHER)


class _Calls:
    """The calls of one caller and operation."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.ns = self.references = 0

    def add(self, entry: HistogramEntry) -> None:
        at = min(max(entry.power, _FIRST), _LAST + 1) - _FIRST
        self.counts[at] += entry.calls
        self.ns += entry.ns
        self.references += entry.references

    @property
    def sum_s(self) -> float:
        return self.ns * _NS

    def cumulative_counts(self) -> list[int]:
        return list(accumulate(self.counts))

    def cumulative_buckets(self) -> list[tuple[str, float]]:
        return list(zip(_NAMES, map(float, self.cumulative_counts()), strict=True))


class KernelMetrics:
    """Source of the kernel's histograms, by caller and operation.

    The duration of a call is what its caller waits, for all references of the call. Divided by
    the number of references, the sum is comparable with the probe's latencies.

    Args:
        up: whether the kernel times its calls.
        lean: whether the profile is lean, which shows few bounds.
    """

    def __init__(self, *, up: bool, lean: bool = False) -> None:
        """Read nothing yet."""
        self.lean = lean
        self._up = up
        self._lock = threading.Lock()
        #: by address: the kernel forgets the names of an unloaded module, but not its calls
        self._callers: dict[int, str] = {}

    @property
    def up(self) -> bool:
        """Whether the kernel times its calls."""
        return self._up

    def close(self) -> None:
        """Stop reading; waits for a scrape that is reading."""
        with self._lock:
            self._up = False

    def families(self) -> Iterator[MetricFamily]:
        """Read the kernel's histograms and yield the metrics."""
        with self._lock:
            calls = self._read() if self._up else None
        yield single(definitions.PASSIVE_UP, int(calls is not None))
        if calls is not None:
            places = _LEAN_PLACES if self.lean else None
            yield histogram(definitions.KERNEL_GRANT_SECONDS, list(calls.items()), places)
            yield family(
                definitions.KERNEL_GRANT_REFERENCES,
                [(key, each.references) for key, each in calls.items()],
            )

    def _read(self) -> dict[tuple[str, str], _Calls] | None:
        calls = {key: _Calls() for key in product(CALLERS, tracefs.OPERATIONS)}
        for operation in tracefs.OPERATIONS:
            try:
                text = tracefs.histogram_file(operation).read_text()
            except OSError as error:
                log.warning("cannot read the kernel's histograms of grant calls: %s", error)
                return None
            for entry in entries(text):
                caller = self._callers.setdefault(entry.address, caller_of(entry))
                calls[caller, operation].add(entry)
        return calls


@contextmanager
def collecting(
    options: PassiveOptions, add: Callable[[KernelMetrics], None], *, lean: bool = False
) -> Iterator[None]:
    """Have the kernel time its grant calls while the context lasts, if that is enabled.

    If the kernel cannot do so, that is logged and `xengt_passive_up` is 0. If passive latencies
    are not enabled, no metrics are added, and trace objects of a dead agent are removed.

    Args:
        options: of the configuration.
        add: called with the source of the metrics, if passive latencies are enabled.
        lean: whether the profile is lean.

    Raises:
        FailedError: the trace objects cannot be removed at the end; the guard tries again.
    """
    if not options.enabled:
        _clean_up()
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(guard.tracing())
        except XengtError as error:
            log.warning("passive latencies are not available: %s; %s", error.what, error.remedy)
            metrics = KernelMetrics(up=False, lean=lean)
        else:
            metrics = KernelMetrics(up=True, lean=lean)
            stack.callback(metrics.close)
        add(metrics)
        yield


def _clean_up() -> None:
    """Remove the trace objects of a dead agent; a failure does not keep the agent from serving."""
    try:
        guard.clean_up()
    except UnmetError:
        pass  # a live agent owns them
    except FailedError as error:
        log.warning("%s; %s", error.what, error.remedy)
