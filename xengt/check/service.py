"""Checks of the service in the Debian package: its unit, its configuration and its port."""

import http.client
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from xengt.check.outcome import Check, Command, missing, ok, sentence, warning
from xengt.errors import UnmetError
from xengt.serve.config import Listen, load

UNIT = "xengt.service"
CONFIG = Path("/etc/xengt/serve.toml")
NAME = "service"
#: longest wait for the agent to accept a connection or to answer, in seconds
_TIMEOUT_S = 10.0
_PROPERTIES = "LoadState,UnitFileState,ActiveState,Result,ExecMainStatus,StatusText"


def run(config: Path = CONFIG) -> Iterator[Check]:
    """Yield the checks; only one if the unit is not installed.

    Args:
        config: configuration file of the unit.
    """
    properties = read_properties()
    if properties.get("LoadState") in {None, "not-found"}:
        yield ok(NAME, f"{UNIT} is not installed; `xengt serve` can be run by hand")
        return
    yield unit(properties)
    try:
        listen = load(config).listen
    except UnmetError as error:
        yield missing(f"{NAME} configuration", error.what, sentence(error.remedy), (Command.SERVE,))
        return
    yield ok(f"{NAME} configuration", f"{config} is valid")
    if properties["ActiveState"] == "active" and listen.port:
        yield port(listen)


def read_properties() -> dict[str, str]:
    """Return properties of the unit (systemctl(1), show); empty if systemd does not run."""
    command = ["systemctl", "show", UNIT, f"--property={_PROPERTIES}"]
    try:
        done = subprocess.run(  # noqa: S603 (constant words)
            command, capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def unit(properties: dict[str, str]) -> Check:
    """Check that the unit runs, unless it is disabled or this is not a dom0.

    Args:
        properties: of the unit.
    """
    state, enabled = properties["ActiveState"], properties["UnitFileState"]
    result = properties["Result"]
    if state == "active":
        return ok(NAME, f"active, {enabled}: {properties['StatusText'] or 'no status reported'}")
    if result == "exec-condition":
        return ok(NAME, "not started, because this is not a dom0")
    if state == "inactive" and enabled != "enabled":
        return ok(
            NAME, f"{enabled}: `systemctl enable --now {UNIT}` starts it now and at every boot"
        )
    reason = f" ({result}, exit code {properties['ExecMainStatus']})" if result != "success" else ""
    return warning(
        NAME,
        f"{state}{reason}, {enabled}",
        f"See `journalctl --unit {UNIT} --lines 20`, then run `systemctl restart {UNIT}`.",
    )


def port(listen: Listen) -> Check:
    """Check that the agent answers at its configured address.

    Args:
        listen: address, port and TLS files.
    """
    name, address = f"{NAME} port", f"{listen.address}:{listen.port}"
    try:
        if listen.certificate or listen.web_config:
            # A scrape may need a client certificate or a password, which are not here.
            socket.create_connection((listen.address, listen.port), _TIMEOUT_S).close()
            return ok(name, f"{address} accepts connections; TLS is not checked")
        status, length = _scrape(listen)
    except (OSError, http.client.HTTPException) as error:
        return warning(
            name,
            f"the agent does not answer at {address}: {error}",
            "If the configuration has changed since the agent started, run "
            f"`systemctl reload {UNIT}`.",
        )
    if status != http.client.OK:
        return warning(
            name,
            f"the agent at {address} answers with HTTP status {status}",
            f"See `journalctl --unit {UNIT}`.",
        )
    return ok(name, f"the agent at {address} answers with a page of {length} bytes")


def _scrape(listen: Listen) -> tuple[int, int]:
    """Scrape the agent; return the HTTP status and the size of the page in bytes."""
    connection = http.client.HTTPConnection(listen.address, listen.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return answer.status, len(answer.read())
    finally:
        connection.close()
