"""The agent as a process: its configuration file, signals, and reports to systemd."""

import logging
import signal
from collections.abc import Callable
from pathlib import Path

from xengt.errors import XengtError
from xengt.serve import config
from xengt.serve.agent import Agent, running
from xengt.serve.config import Config
from xengt.serve.sd_notify import notify, notify_reloading, watchdog_timeout_s
from xenlib_cffi.errors import BindingError

log = logging.getLogger(__name__)

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
#: longest time between two signs of life for systemd's watchdog, in seconds
_TICK_S = 5.0


def serve(path: Path | None, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads the configuration.

    systemd is notified that the agent is ready once the configuration is in effect, even if the
    agent still waits for its address: a boot does not wait, and a reload works.

    Args:
        path: of the configuration; None for the defaults.
        announce: called with the address whenever the agent has begun to listen.

    Raises:
        UnmetError: the configuration is invalid, or the agent cannot listen on its address for a
            reason that time does not remove.
        FailedError: the trace objects of `[passive]` cannot be removed.
    """
    first = _load(path)
    # Blocked before any other thread is started, so that none of them receives a signal.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        with running(first, announce) as agent:
            status = ""
            notify(f"READY=1\nSTATUS={agent.status}")
            while (received := _wait_for_signal(agent, status)) == signal.SIGHUP:
                notify_reloading()
                status = _reload(agent, path)
                notify(f"READY=1\nSTATUS={agent.status}{status}")
            notify("STOPPING=1")
            log.info("stopping on %s", signal.Signals(received).name)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for_signal(agent: Agent, status: str) -> int:
    """Wait for a signal; before and meanwhile, do what is due and feed the watchdog.

    Also before, because a signal may arrive more often than there is something to do.
    """
    tick = min(_TICK_S, (watchdog_timeout_s() or 2 * _TICK_S) / 2)
    while True:
        agent.tick()
        if not agent.is_stuck():
            notify(f"WATCHDOG=1\nSTATUS={agent.status}{status}")
        remaining = agent.remaining_s
        received = signal.sigtimedwait(SIGNALS, tick if remaining is None else min(tick, remaining))
        if received is not None:
            return received.si_signo


def _reload(agent: Agent, path: Path | None) -> str:
    """Change to the configuration as it is now; return what the status line has to add."""
    try:
        agent.change(_load(path))
    except (XengtError, BindingError, OSError) as error:
        remedy = f"; {error.remedy}" if isinstance(error, XengtError) and error.remedy else ""
        log.error(  # noqa: TRY400
            "configuration not reloaded, the previous one stays in effect: %s%s", error, remedy
        )
        agent.reloads.record(successful=False)
        # A line, because systemd takes the next one for another notification.
        return f"; the last reload failed: {' '.join(str(error).split())}"
    agent.reloads.record(successful=True)
    log.info("configuration reloaded")
    return ""


def _load(path: Path | None) -> Config:
    loaded = config.load(path)
    for each in config.deprecations(loaded):
        log.warning("%s", each)
    return loaded
