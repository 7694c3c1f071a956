"""The agent in a lab's dom0, scraped by a Prometheus on this machine."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boardlib.panel import Requirement
from boardlib.panels import ROWS
from boardlib.variables import interpolate
from lablib import record, remote

from tests.lab.lab_dom0 import Dom0
from tests.lab.service import PORT
from tests.prometheus.server import Prometheus, agents_scraped, waits_until

#: rule file → regular expression → replacement that shortens a time of its rules
HURRY = {
    "alerts.rules.yml": {r"(?m)^( +for: )\w+$": r"\g<1>2s"},
    "recording.rules.yml": {
        r"interval: 2m": "interval: 1s",
        r"\[1d\] offset 1h": "[1m] offset 10s",
        r">= 180": ">= 5",
    },
}


@contextmanager
def background_unit(dom0: Dom0, name: str, *words: str, ready_text: str) -> Iterator[None]:
    """Run a program in dom0 as a transient unit; yields when it has printed `ready_text`."""
    unit = f"tests-{name}"
    output = f"/run/{unit}.log"
    quiet = ("--quiet", "--collect", "--unit", unit)
    properties = ("-p", f"StandardOutput=file:{output}", "-p", f"StandardError=append:{output}")
    # remove the unit and log of a killed test
    dom0.check_output(f"systemctl stop {unit} 2> /dev/null; rm -f {output}")
    dom0.check_output("systemd-run", *quiet, *properties, *words)
    try:
        dom0.check_output(
            f"until grep -q '{ready_text}' {output}; do "
            f"systemctl is-active -q {unit} || {{ cat {output}; exit 1; }}; sleep 0.5; done",
            timeout=400,
        )
        yield
    finally:
        dom0.run("systemctl", "stop", unit)


@contextmanager
def forward_agent_port(dom0: Dom0) -> Iterator[str]:
    """Forward a local port to the agent's port in dom0 over ssh; yields the local address."""
    lab = record.load(dom0.name)
    assert lab is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # A separate connection, as the shared one ends with the command that opened it.
    own = ("-o", "ControlPath=none", "-o", "ExitOnForwardFailure=yes")
    ssh, *words = remote.ssh(lab, "-N", "-L", f"127.0.0.1:{port}:127.0.0.1:{PORT}")
    with subprocess.Popen([ssh, *own, *words]) as process:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


@contextmanager
def scraped_agent(dom0: Dom0, where: Path, options: str, every_s: int = 5) -> Iterator[Prometheus]:
    """Run the agent in dom0 and a Prometheus with the rules of deploy/prometheus, sped up.

    Args:
        dom0: the lab.
        where: an empty directory.
        options: the text of the agent's configuration.
        every_s: seconds between scrapes.
    """
    file = where / "serve.toml"
    file.write_text(options)
    dom0.put(file)
    agent = ("xengt", "serve", "--config", "/root/serve.toml")
    with (
        background_unit(dom0, "agent", *agent, ready_text="listening"),
        forward_agent_port(dom0) as address,
        agents_scraped(where, [{"targets": [address]}], HURRY, every_s) as server,
    ):
        assert waits_until(server.up, 600)
        yield server


def queries_without_data(
    server: Prometheus, needs: set[Requirement | None], seconds: float = 30
) -> list[str]:
    """Return the dashboard queries without data, of the panels that need one of `needs`."""
    ((labels, _),) = server.query("up").items()
    queries = [
        query for row in ROWS.values() for p in row if p.requires in needs for query in p.queries
    ]
    exprs = [interpolate(query.expr, dict(labels)["instance"], "30s") for query in queries]
    return [expr for expr in exprs if not _has_data(server, expr, seconds)]


def _has_data(server: Prometheus, expr: str, seconds: float) -> bool:
    """Return whether a query returned a number within the last `seconds`."""
    end = time.time()
    parameters = {"query": expr, "start": end - seconds, "end": end, "step": 1}
    # A quotient of two zeros is NaN.
    found = server.api_get("query_range", **parameters)["result"]
    return any(value != "NaN" for each in found for _, value in each["values"])
