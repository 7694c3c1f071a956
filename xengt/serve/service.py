"""The agent as a process: starts its threads, handles signals, and reports to systemd."""

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
from xengt.serve.metrics.build_metrics import BuildMetrics
from xengt.serve.metrics.console_metrics import ConsoleMetrics
from xengt.serve.metrics.host_metrics import HostMetrics
from xengt.serve.metrics.metric_families import MetricSource
from xengt.serve.metrics.probe_metrics import ProbeMetrics
from xengt.serve.page import Page
from xengt.serve.passive.kernel_metrics import collecting
from xengt.serve.probe import Probe
from xengt.serve.sd_notify import notify, notify_reloading, watchdog_timeout_s
from xengt.xen import kernel, maptrack, preflight
from xenlib_cffi.ctrl import Ctrl

log = logging.getLogger(__name__)

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
#: systemd's watchdog gets no sign of life if the probe has had no heartbeat for so many seconds
_PROBE_STUCK_S = 60.0
#: longest time between two signs of life for systemd's watchdog, in seconds
_TICK_S = 5.0


def serve(path: Path | None, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads the configuration.

    Args:
        path: of the configuration; None for the defaults.
        announce: called with the address whenever the agent has begun to listen.

    Raises:
        UnmetError: the configuration is invalid, or the agent cannot listen on its address.
        FailedError: the trace objects of `[passive]` cannot be removed.
    """
    config: Config | None = load(path)
    # Blocked before any other thread is started, so that none of them receives a signal.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        while config is not None:
            with _running(config) as (address, probe):
                announce(address)
                notify(f"READY=1\n{_status_line(probe, address)}")
                config = _wait_for_signal(path, probe, address)
            if config is not None:
                log.info("configuration reloaded")
        notify("STOPPING=1")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for_signal(path: Path | None, probe: Probe | None, address: str) -> Config | None:
    """Wait for a signal and feed the watchdog; return the new configuration, or None to stop."""
    tick = min(_TICK_S, (watchdog_timeout_s() or 2 * _TICK_S) / 2)
    while True:
        received = signal.sigtimedwait(SIGNALS, tick)
        if received is None:
            if not _is_stuck(probe):
                notify(f"WATCHDOG=1\n{_status_line(probe, address)}")
        elif received.si_signo != signal.SIGHUP:
            return None
        else:
            notify_reloading()
            try:
                return load(path)
            except UnmetError as error:
                log.error(  # noqa: TRY400
                    "configuration not reloaded, the previous one stays in effect: %s; %s",
                    error.what,
                    error.remedy,
                )
                notify("READY=1")


def _is_stuck(probe: Probe | None) -> bool:
    if probe is None or not probe.has_cases:
        return False
    return time.monotonic() - probe.last_heartbeat >= _PROBE_STUCK_S


@contextmanager
def _running(config: Config) -> Iterator[tuple[str, Probe | None]]:
    """Listen, follow XenStore and probe while the context lasts."""
    probe = _create_probe(config.probe)
    status = {"pid": str(os.getpid()), "version": xengt.__version__, "state": _state(probe)}
    names = DomainNames(lambda: status | {"state": _state(probe)})
    lean = config.host.profile == "lean"
    sources: list[MetricSource] = [
        BuildMetrics(),
        HostMetrics(config.host.domains, names.name_of),
        ConsoleMetrics(),
        names,
    ]
    if probe is not None:
        sources.append(ProbeMetrics(probe, lean=lean))
    page = Page(sources, [ProcessCollector(registry=None)])
    with ExitStack() as stack:
        stack.enter_context(collecting(config.passive, sources.append, lean=lean))
        address = stack.enter_context(http_server(config.listen, page.answer))
        status["address"] = address
        for thread in (names, probe):
            if thread is not None:
                stack.callback(thread.stop)
                thread.start()
        yield address, probe


def _state(probe: Probe | None) -> str:
    """Return the agent's state: `passive` if the probe is disabled or dom0 can run no engine."""
    if probe is None or not probe.has_cases:
        return "passive"
    return "failing" if probe.failing else "probing"


def _status_line(probe: Probe | None, address: str) -> str:
    return f"STATUS={_state(probe)}, listening on {address}"


def _create_probe(options: ProbeOptions) -> Probe | None:
    """Create the probe with the engines that this dom0 can run; None if it is disabled."""
    if not options.enabled:
        return None
    engines = {}
    for engine in options.engines:
        try:
            preflight.require_dom0([engine])
        except UnmetError as error:
            log.warning(
                "the probe cannot use the %s engine: %s; %s", engine, error.what, error.remedy
            )
            engines[engine] = False
        else:
            engines[engine] = True
    with Ctrl() as xen:
        variant = maptrack.detect(xen.version().commandline)
    entries = 2 if kernel.dom0_kind() in {"PV", None} else 1
    return Probe(options, engines, variant, gntdev_entries=entries)
