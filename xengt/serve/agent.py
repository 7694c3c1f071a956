"""The agent's parts, which run with one configuration until they change to another one.

A change first makes everything that can fail. Only then does it replace the parts that the new
configuration changes; the others run on, and all counts continue.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import Thread

from prometheus_client import ProcessCollector

import xengt
from xengt.bench.engines import EngineName, require_dom0
from xengt.errors import FailedError, UnmetError, XengtError
from xengt.serve.config import Config, PassiveOptions, ProbeOptions
from xengt.serve.domain_names import DomainNames
from xengt.serve.http.compression import Part
from xengt.serve.http.endpoint import Endpoint
from xengt.serve.metrics.build_metrics import BuildMetrics
from xengt.serve.metrics.console_metrics import ConsoleMetrics
from xengt.serve.metrics.host_metrics import HostMetrics
from xengt.serve.metrics.metric_families import MetricSource
from xengt.serve.metrics.probe_metrics import ProbeMetrics
from xengt.serve.metrics.reload_metrics import ReloadMetrics
from xengt.serve.page import Page
from xengt.serve.passive.kernel_metrics import KernelMetrics, collecting
from xengt.serve.probe import Probe
from xengt.xen import host
from xenlib_cffi.errors import BindingError

log = logging.getLogger(__name__)

#: the agent is not ready, and systemd restarts it, if the probe has had no heartbeat for so many
#: seconds
_PROBE_STUCK_S = 60.0


class Agent:
    """The agent's threads and the page that shows what they know.

    Attributes:
        config: what is in effect.
        reloads: results of reloads; recorded by the caller, who also reads the file.

    Args:
        config: the first configuration.
        announce: called with the address whenever the agent has begun to listen.

    Raises:
        UnmetError: the agent cannot listen with this configuration.
    """

    def __init__(self, config: Config, announce: Callable[[str], None]) -> None:
        """Start everything; `stop` stops it."""
        self.config = config
        self.reloads = ReloadMetrics()
        self._names = DomainNames(self._published)
        self._host = HostMetrics(config.host.domains, self._name_of)
        self._console = ConsoleMetrics()
        self._probe = _create_probe(config.probe)
        self._passive = ExitStack()
        self._kernel: KernelMetrics | None = None
        self._trace(config.passive)
        with ExitStack() as undone:
            undone.callback(self._passive.close)
            self._endpoint = Endpoint(config.listen, self, announce)
            undone.pop_all()
        _start(self._names)
        if self._probe is not None:
            _start(self._probe)

    def change(self, config: Config) -> None:
        """Change to another configuration.

        Args:
            config: the other one.

        Raises:
            XengtError: the agent cannot run with it; nothing has changed.
            BindingError: Xen does not answer; nothing has changed.
        """
        probe = _create_probe(config.probe)
        switch = self._endpoint.prepare(config.listen)
        # From here on, nothing fails.
        if not _is_same(probe, self._probe):
            self._replace_probe(probe)
        self._host.max_domains = config.host.domains
        if config.passive != self.config.passive or (self._kernel and not self._kernel.up):
            self._trace(config.passive)
        self.config = config
        if self._kernel is not None:
            self._kernel.lean = self._is_lean
        self._page = self._create_page()
        switch()

    def tick(self) -> None:
        """Do what is due: try to listen, and replace threads that have died."""
        self._endpoint.tick()
        if not self._names.is_alive():
            log.error("the thread %s has died: a new one is started", self._names.name)
            died, self._names = self._names, DomainNames(self._published)
            died.up = False
            self._names.changes = died.changes
            self._page = self._create_page()
            _start(self._names)
        if self._probe is not None and self._probe.has_cases and not self._probe.is_alive():
            self._revive_probe(self._probe)

    @property
    def remaining_s(self) -> float | None:
        """Seconds until `tick` has to be called; None if any time will do."""
        return self._endpoint.remaining_s

    @property
    def status(self) -> str:
        """What the agent does, in words."""
        return f"{self._state()}, {self._endpoint.status}"

    def is_stuck(self) -> bool:
        """Return whether the probe has had no heartbeat for too long."""
        if self._probe is None or not self._probe.has_cases:
            return False
        return time.monotonic() - self._probe.last_heartbeat >= _PROBE_STUCK_S

    # what the server serves

    def render_page(self, accept: str) -> tuple[Sequence[Part], str]:
        """Return the parts of the page for an Accept header, and its content type."""
        if not self._names.is_alive():
            self._names.up = False
        return self._page.answer(accept)

    def problem(self) -> str | None:
        """Return why the agent is not ready, or None."""
        if self.is_stuck():
            return "the probe is stuck"
        probe = self._probe if self._probe is not None and self._probe.has_cases else None
        for thread in (self._names, probe):
            if thread is not None and not thread.is_alive():
                return f"the thread {thread.name} does not run"
        return None

    def stop(self) -> None:
        """Stop everything.

        Raises:
            FailedError: the trace objects of `[passive]` cannot be removed.
        """
        with self._passive, ExitStack() as stack:
            stack.callback(self._endpoint.stop)
            stack.callback(self._names.stop)
            if self._probe is not None:
                stack.callback(self._probe.stop)

    @property
    def _is_lean(self) -> bool:
        return self.config.host.profile == "lean"

    def _name_of(self, domid: int) -> str | None:
        return self._names.name_of(domid)  # of the present thread, which `tick` may replace

    def _create_page(self) -> Page:
        sources: list[MetricSource] = [
            BuildMetrics(),
            self.reloads,
            self._host,
            self._console,
            self._names,
        ]
        if self._probe is not None:
            sources.append(ProbeMetrics(self._probe, lean=self._is_lean))
        if self._kernel is not None:
            sources.append(self._kernel)
        return Page(sources, [ProcessCollector(registry=None)])

    def _replace_probe(self, probe: Probe | None) -> None:
        replaced, self._probe = self._probe, probe
        if replaced is not None:
            replaced.stop()
        if probe is not None:
            if replaced is not None:
                probe.continue_from(replaced)
            _start(probe)

    def _revive_probe(self, died: Probe) -> None:
        log.error("the thread %s has died: a new one is started", died.name)
        try:
            probe = _create_probe(self.config.probe)
        except (XengtError, BindingError, OSError) as error:  # `tick` tries again
            log.error("cannot create a probe: %s", error)  # noqa: TRY400
            return
        died.count_failure()
        self._replace_probe(probe)
        self._page = self._create_page()

    def _trace(self, options: PassiveOptions) -> None:
        """Begin or end to have the kernel time its grant calls, and create the page with that."""
        self._kernel = None
        try:
            self._passive.close()
        except FailedError as error:
            log.error("%s; %s", error.what, error.remedy)  # noqa: TRY400
        self._passive = ExitStack()
        self._passive.enter_context(collecting(options, self._use_kernel, lean=self._is_lean))
        self._page = self._create_page()

    def _use_kernel(self, metrics: KernelMetrics) -> None:
        self._kernel = metrics

    def _state(self) -> str:
        """Return `not probing` if the probe is disabled or dom0 can run no engine."""
        if self._probe is None or not self._probe.has_cases:
            return "not probing"
        return "failing" if self._probe.failing else "probing"

    def _published(self) -> Mapping[str, str]:
        """Return the status that is written to XenStore."""
        status = {"pid": str(os.getpid()), "version": xengt.__version__, "state": self._state()}
        address = self._endpoint.address
        return status if address is None else status | {"address": address}


@contextmanager
def running(config: Config, announce: Callable[[str], None]) -> Iterator[Agent]:
    """Run an agent while the context lasts; arguments and errors are those of `Agent`."""
    agent = Agent(config, announce)
    try:
        yield agent
    finally:
        agent.stop()


def _start(thread: Thread) -> None:
    try:
        thread.start()
    except RuntimeError as error:  # `tick` tries again
        log.error("cannot start the thread %s: %s", thread.name, error)  # noqa: TRY400


def _is_same(one: Probe | None, other: Probe | None) -> bool:
    """Return whether two probes measure the same."""
    if one is None or other is None:
        return one is other
    return (one.options, one.engines) == (other.options, other.engines)


def _create_probe(options: ProbeOptions) -> Probe | None:
    """Create the probe with the engines that this dom0 can run; None if it is disabled."""
    if not options.enabled:
        return None
    engines: dict[EngineName, bool] = {}
    for engine in options.engines:
        try:
            require_dom0([engine])
        except UnmetError as error:
            log.warning(
                "the probe cannot use the %s engine: %s; %s", engine, error.what, error.remedy
            )
            engines[engine] = False
        else:
            engines[engine] = True
    facts = host.gather_host()
    entries = 2 if facts["dom0"] == "PV" else 1
    return Probe(options, engines, fast=host.has_fast_mappings(facts), gntdev_entries=entries)
