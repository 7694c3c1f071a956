"""The kernel's own grant calls, for a scrape."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import accumulate, product

from xengt.errors import FailedError, UnmetError, XengtError
from xengt.serve.config import PassiveOptions
from xengt.serve.metrics.metric_families import MetricFamily, MetricSource, counter, histogram, one
from xengt.serve.passive import guard, tracefs
from xengt.serve.passive.kernel_histogram import HistogramEntry, entries

log = logging.getLogger(__name__)

_LABELS = ("caller", "operation")
_OTHER = "other"
CALLERS = ("blkback", "netback", "gntdev", _OTHER)
#: what a function's module, or where it is none its name, begins with → whose it is. In all of
#: Linux only blkback has its references unmapped while it waits, which unmap_refs_callback ends.
_WHOSE = {
    "xen_blkback": "blkback",
    "xen_netback": "netback",
    "xen_gntdev": "gntdev",
    "xen_blkbk_": "blkback",
    "unmap_refs_callback": "blkback",
    "xenvif_": "netback",
    "gntdev_": "gntdev",
    "__unmap_grant_pages": "gntdev",
}
#: powers of two, of nanoseconds: 256 ns to 67 ms, which are the bounds
_FIRST, _LAST = 8, 26
_NS = 1e-9
BOUNDS_S = tuple(float(f"{2**power * _NS:.9g}") for power in range(_FIRST, _LAST + 1))
_NAMES = (*map(repr, BOUNDS_S), "+Inf")


def whose(entry: HistogramEntry) -> str:
    """Return who made the calls of an entry."""
    name = entry.module or entry.symbol
    return next((caller for known, caller in _WHOSE.items() if name.startswith(known)), _OTHER)


class _Calls:
    """The calls of a caller."""

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

    def below(self) -> list[int]:
        return list(accumulate(self.counts))

    def cumulative(self) -> list[tuple[str, float]]:
        return list(zip(_NAMES, map(float, self.below()), strict=True))


class KernelMetrics:
    """A histogram of calls for each caller and operation, and how many references they had.

    A call is as long as its caller waits, for all of its references: the sum
    divided by the references is what one of them takes, as the probe has it.

    Args:
        up: whether the kernel times them.
    """

    def __init__(self, *, up: bool) -> None:
        """Read nothing yet."""
        self._up = up
        self._lock = threading.Lock()
        #: by address: a module that is unloaded takes its names along, its calls remain
        self._callers: dict[int, str] = {}

    def close(self) -> None:
        """Read no more; what is being read is waited for."""
        with self._lock:
            self._up = False

    def families(self) -> Iterator[MetricFamily]:
        """Yield what the kernel has counted by now."""
        with self._lock:
            calls = self._read() if self._up else None
        yield one(
            "xengt_passive_up",
            "Whether the kernel times its own grant calls, as it was asked to.",
            int(calls is not None),
        )
        if calls is not None:
            yield from _told(calls)

    def _read(self) -> dict[tuple[str, str], _Calls] | None:
        found = {key: _Calls() for key in product(CALLERS, tracefs.OPERATIONS)}
        for operation in tracefs.OPERATIONS:
            try:
                text = tracefs.kept(operation).read_text()
            except OSError as error:
                log.warning("no passive latencies any more: %s", error)
                return None
            for entry in entries(text):
                caller = self._callers.setdefault(entry.address, whose(entry))
                found[caller, operation].add(entry)
        return found


def _told(calls: dict[tuple[str, str], _Calls]) -> Iterator[MetricFamily]:
    yield histogram(
        "xengt_kernel_grant_seconds",
        "Of one call of dom0's kernel that maps or unmaps references, however many.",
        _LABELS,
        list(calls.items()),
    )
    yield counter(
        "xengt_kernel_grant_references",
        "References that these calls had.",
        _LABELS,
        [(key, each.references) for key, each in calls.items()],
    )


@contextmanager
def collecting(options: PassiveOptions, add: Callable[[MetricSource], None]) -> Iterator[None]:
    """Have the kernel time its grant calls, if that is wanted, and add what it tells.

    Where it cannot be, that is logged, and told by `xengt_passive_up`. Where it is
    not wanted, what a dead agent left is taken back, and there are no metrics of it.

    Args:
        options: whether it is wanted.
        add: called with who tells it, if that is wanted.

    Raises:
        FailedError: it cannot be taken back at the end; the guard tries again.
    """
    if not options.enabled:
        _cleared()
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(guard.tracing())
        except XengtError as error:
            log.warning("no passive latencies: %s; %s", error.what, error.remedy)
            calls = KernelMetrics(up=False)
        else:
            calls = KernelMetrics(up=True)
            stack.callback(calls.close)
        add(calls)
        yield


def _cleared() -> None:
    """Take back what a dead agent left; it is no reason not to serve that it cannot be."""
    try:
        guard.clear()
    except UnmetError:
        pass  # it is another agent's, which lives
    except FailedError as error:
        log.warning("%s; %s", error.what, error.remedy)
