"""The agent as a process: listening, probing, and the signals that change or end that."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from xengt import dom0, kernel, maptrack
from xengt.errors import UnmetError
from xengt.serve.config import Config, Listen, ProbeOptions, load
from xengt.serve.host import HostCollector
from xengt.serve.notify import notify, reloading, watchdog_s
from xengt.serve.probe import Probe
from xengt.serve.told import ProbeCollector
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
                notify(f"READY=1\nSTATUS=listening on {address}")
                config = _next(path, probe)
            if config is not None:
                log.info("the configuration has been read again")
        notify("STOPPING=1")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _next(path: Path | None, probe: Probe | None) -> Config | None:
    """Wait for a signal, feeding the watchdog; what to run with then, None to end."""
    tick = min(_TICK_S, (watchdog_s() or 2 * _TICK_S) / 2)
    while True:
        found = signal.sigtimedwait(SIGNALS, tick)
        if found is None:
            if probe is None or time.monotonic() - probe.beaten < _PROBE_STUCK_S:
                notify("WATCHDOG=1")
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
    """Listen and probe for as long as the context lasts."""
    registry = CollectorRegistry()
    registry.register(ProcessCollector(registry=None))
    registry.register(HostCollector(config.host.domains))
    probe = _probe(config.probe)
    if probe is not None:
        registry.register(ProbeCollector(probe))
    with _listening(config.listen, registry) as address:
        if probe is not None:
            probe.start()
        try:
            yield address, probe
        finally:
            if probe is not None:
                probe.stop()


def _probe(options: ProbeOptions) -> Probe | None:
    """Make the probe, with the engines that this dom0 has; None where there is none to have."""
    if not options.enabled:
        return None
    engines = []
    for each in options.engines:
        try:
            dom0.require([each])
        except UnmetError as error:
            log.warning("no probe of %s: %s; %s", each, error.what, error.remedy)
        else:
            engines.append(each)
    if not engines:
        return None
    with Ctrl() as xen:
        kind = maptrack.running(xen.version().commandline)
    entries = 2 if kernel.dom0_kind() in {"PV", None} else 1
    return Probe(options, engines, kind, gntdev_entries=entries)


@contextmanager
def _listening(listen: Listen, registry: CollectorRegistry) -> Iterator[str]:
    where = f"{listen.address}:{listen.port}"
    try:
        server, thread = start_http_server(
            listen.port,
            addr=listen.address,
            registry=registry,
            certfile=listen.certificate,
            keyfile=listen.key,
            client_cafile=listen.client_ca,
            client_auth_required=listen.client_ca is not None,
        )
    except OSError as error:
        raise UnmetError(
            f"cannot listen on {where}: {error.strerror or error}",
            "see who does (`ss -ltnp`), or change listen in the configuration",
        ) from error
    try:
        yield f"{listen.address}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        with suppress(RuntimeError):
            thread.join()
