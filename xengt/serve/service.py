"""The agent as a process: listening, probing, and the signals that change or end that."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prometheus_client import ProcessCollector

import xengt
from xengt.errors import UnmetError
from xengt.serve.config import Config, ProbeOptions, load
from xengt.serve.domain_names import DomainNames
from xengt.serve.http import http_server
from xengt.serve.metrics.host_metrics import HostMetrics
from xengt.serve.metrics.metric_families import MetricSource
from xengt.serve.metrics.probe_metrics import ProbeMetrics
from xengt.serve.page import Page
from xengt.serve.passive.kernel_metrics import collecting
from xengt.serve.probe import Probe
from xengt.serve.sd_notify import notify, reloading, watchdog_s
from xengt.xen import kernel, maptrack, preflight
from xenlib_cffi.ctrl import Ctrl

log = logging.getLogger(__name__)

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
#: without a sign of life from the probe for so long, systemd's watchdog is not fed
_PROBE_STUCK_S = 60.0
_TICK_S = 5.0


def serve(path: Path | None, told: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP has the configuration read again.

    Args:
        path: of the configuration; None for what holds without one.
        told: called with the address once it listens, each time.

    Raises:
        UnmetError: the configuration is wrong, or the address cannot be had.
    """
    config: Config | None = load(path)
    # Blocked before there is any other thread: then none takes one of them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        while config is not None:
            with _running(config) as (address, probe):
                told(address)
                notify(f"READY=1\n{_status(probe, address)}")
                config = _next(path, probe, address)
            if config is not None:
                log.info("the configuration has been read again")
        notify("STOPPING=1")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _next(path: Path | None, probe: Probe | None, address: str) -> Config | None:
    """Wait for a signal, feeding the watchdog; what to run with then, None to end."""
    tick = min(_TICK_S, (watchdog_s() or 2 * _TICK_S) / 2)
    while True:
        found = signal.sigtimedwait(SIGNALS, tick)
        if found is None:
            if not probe or not probe.able or time.monotonic() - probe.beaten < _PROBE_STUCK_S:
                notify(f"WATCHDOG=1\n{_status(probe, address)}")
        elif found.si_signo != signal.SIGHUP:
            return None
        else:
            reloading()
            try:
                return load(path)
            except UnmetError as error:
                log.error("still as before: %s; %s", error.what, error.remedy)  # noqa: TRY400
                notify("READY=1")


@contextmanager
def _running(config: Config) -> Iterator[tuple[str, Probe | None]]:
    """Listen, follow XenStore and probe for as long as the context lasts."""
    probe = _probe(config.probe)
    status = {"pid": str(os.getpid()), "version": xengt.__version__, "state": _state(probe)}
    xenstore = DomainNames(lambda: status | {"state": _state(probe)})
    sources: list[MetricSource] = [HostMetrics(config.host.domains, xenstore.name_of), xenstore]
    if probe is not None:
        sources.append(ProbeMetrics(probe))
    page = Page(sources, [ProcessCollector(registry=None)])
    with ExitStack() as stack:
        stack.enter_context(collecting(config.passive, sources.append))
        address = stack.enter_context(http_server(config.listen, page.answer))
        status["address"] = address
        for thread in (xenstore, probe):
            if thread is not None:
                stack.callback(thread.stop)
                thread.start()
        yield address, probe


def _state(probe: Probe | None) -> str:
    """Say in a word what the agent does."""
    if probe is None or not probe.able:
        return "passive"
    return "failing" if probe.failing else "probing"


def _status(probe: Probe | None, address: str) -> str:
    return f"STATUS={_state(probe)}, listening on {address}"


def _probe(options: ProbeOptions) -> Probe | None:
    """Make the probe, with the engines that this dom0 has; None where none is wanted."""
    if not options.enabled:
        return None
    engines = {}
    for each in options.engines:
        try:
            preflight.require_dom0([each])
        except UnmetError as error:
            log.warning("no probe of %s: %s; %s", each, error.what, error.remedy)
            engines[each] = False
        else:
            engines[each] = True
    with Ctrl() as xen:
        kind = maptrack.detect(xen.version().commandline)
    entries = 2 if kernel.dom0_kind() in {"PV", None} else 1
    return Probe(options, engines, kind, gntdev_entries=entries)
