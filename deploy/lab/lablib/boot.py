"""Wait for dom0 of a booting lab, and report why a boot failed."""

import shutil
import time

from lablib import places
from lablib.console import Console
from lablib.errors import LabError
from lablib.record import Record

POLL = 0.1
"""Seconds between two looks at a lab that starts."""
SILENCE_TIMEOUT = 300.0
"""Seconds without console output after which a boot counts as hung."""


def wait_for_dom0(record: Record, timeout: float, console: Console | None = None) -> None:
    """Wait until dom0 reports on the console that it is ready.

    Args:
        record: the lab.
        timeout: seconds until dom0 must be ready.
        console: the console, read up to the beginning of the boot; None: the boot begins at the
            beginning of the log.

    Raises:
        LabError: the boot failed, hung or took too long; the console log is kept.
    """
    console = console or Console(record.console)
    begin = last_output = time.monotonic()
    while not console.ready:
        alive = record.alive()
        now = time.monotonic()
        if console.read():
            last_output = now
        if console.failure:
            raise error_with_console(record, f"the boot failed: {console.failure}")
        if not alive:
            output = " ".join((record.directory / "qemu.log").read_text(errors="replace").split())
            message = f"QEMU exited during the boot: {output or 'it printed no message'}"
            raise error_with_console(record, message)
        if now - last_output > SILENCE_TIMEOUT:
            message = f"the boot hung: no console output for {SILENCE_TIMEOUT:.0f} s"
            raise error_with_console(record, message)
        if now - begin > timeout:
            message = f"dom0 was not ready after {timeout:.0f} s (--boot-timeout)"
            raise error_with_console(record, message)
        time.sleep(POLL)


def limitation(record: Record) -> str | None:
    """Return what does not work in a lab's dom0, as it reported on the console; None if nothing.

    Args:
        record: the lab, whose dom0 is ready.
    """
    console = Console(record.console)
    console.read()
    return console.limitation


def error_with_console(record: Record, what: str) -> LabError:
    """Copy a lab's console log to the logs of the cache; return an error that refers to it.

    Args:
        record: the lab.
        what: what failed.
    """
    log = places.cache_root() / "log" / f"console-{record.name}.log"
    shutil.copyfile(record.console, log) if record.console.exists() else log.write_text("")
    return LabError(what, f"the complete console log is {log}", log)
