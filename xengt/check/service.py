"""The service that the Debian package brings: whether it runs, and what it lacks."""

import http.client
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from xengt.check.outcome import Check, missing, ok, warning
from xengt.errors import UnmetError
from xengt.serve.config import Listen, load

UNIT = "xengt.service"
CONFIG = Path("/etc/xengt/serve.toml")
NAME = "service"
HELP = "xengt-serve.toml(5) shows every key."
_PATIENCE_S = 10.0
_WANTED = "LoadState,UnitFileState,ActiveState,Result,ExecMainStatus,StatusText"


def run(config: Path = CONFIG) -> Iterator[Check]:
    """Check the unit, its configuration and its port; one line where there is no unit.

    Args:
        config: what the unit is configured with.
    """
    told = properties()
    if told.get("LoadState") in {None, "not-found"}:
        yield ok(NAME, f"there is no {UNIT} here: `xengt serve` is for whoever starts it")
        return
    yield unit(told)
    try:
        listen = load(config).listen
    except UnmetError as error:
        yield missing(f"{NAME} configuration", error.what, error.remedy or HELP)
        return
    yield ok(f"{NAME} configuration", str(config))
    if told["ActiveState"] == "active" and listen.port:
        yield port(listen)


def properties() -> dict[str, str]:
    """Ask systemd for the unit's properties; none where systemd does not run."""
    command = ["systemctl", "show", UNIT, f"--property={_WANTED}"]
    try:
        done = subprocess.run(  # noqa: S603 (every word is ours)
            command, capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def unit(told: dict[str, str]) -> Check:
    """Say how the unit is.

    Args:
        told: its properties (systemctl(1), show).
    """
    state, result, enabled = told["ActiveState"], told["Result"], told["UnitFileState"]
    if state == "active":
        return ok(NAME, f"active, {enabled}: {told['StatusText'] or 'it does not say how it is'}")
    if result == "exec-condition":
        return ok(NAME, "not started: this is no dom0")
    if state == "inactive" and enabled != "enabled":
        return ok(NAME, f"{enabled}: `systemctl enable --now {UNIT}` starts it, now and at boot")
    why = f" ({result}, exit code {told['ExecMainStatus']})" if result != "success" else ""
    return warning(
        NAME,
        f"{state}{why}, {enabled}",
        f"See `journalctl --unit {UNIT} --lines 20`, then `systemctl restart {UNIT}`.",
    )


def port(listen: Listen) -> Check:
    """Check that it answers where Prometheus looks for it.

    Args:
        listen: where that is.
    """
    name, where = f"{NAME} port", f"{listen.address}:{listen.port}"
    try:
        if listen.certificate:
            # What lies behind is for who has the certificates.
            socket.create_connection((listen.address, listen.port), _PATIENCE_S).close()
            return ok(name, f"{where} is listened on, with TLS")
        status, length = _scraped(listen)
    except (OSError, http.client.HTTPException) as error:
        return warning(
            name,
            f"{where} does not answer: {error}",
            f"The configuration may have changed since: `systemctl reload {UNIT}`.",
        )
    if status != http.client.OK:
        return warning(name, f"{where} answers {status}", f"See `journalctl --unit {UNIT}`.")
    return ok(name, f"{where} answers, with {length} bytes")


def _scraped(listen: Listen) -> tuple[int, int]:
    """What a scrape is answered: the status of HTTP, and the bytes of the page."""
    connection = http.client.HTTPConnection(listen.address, listen.port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return answer.status, len(answer.read())
    finally:
        connection.close()
