"""The agent as a service of a lab's dom0, and this machine's Prometheus that scrapes it."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boardlib.board import interpolate
from boardlib.panel import Requirement
from boardlib.panels import ROWS
from lablib import record, remote

from tests.lab.reach import Dom0
from tests.prometheus.server import (
    RULES,
    Prometheus,
    config,
    prometheus,
    shorten_times,
    waits_until,
)

PORT = 9805
#: the alerts' and rules' own times, in seconds
HURRY = {
    "alerts.rules.yml": {r"(?m)^( +for: )\w+$": r"\g<1>2s"},
    "recording.rules.yml": {
        r"interval: 2m": "interval: 1s",
        r"\[1d\] offset 1h": "[1m] offset 10s",
        r">= 180": ">= 5",
    },
}


@contextmanager
def serving(dom0: Dom0, name: str, *words: str, says: str) -> Iterator[None]:
    """Run a program in dom0 beside everything else, from when it says that it is ready."""
    unit = f"tests-{name}"
    output = f"/run/{unit}.log"
    quiet = ("--quiet", "--collect", "--unit", unit)
    properties = ("-p", f"StandardOutput=file:{output}", "-p", f"StandardError=append:{output}")
    # of a test that was killed
    dom0.succeeds(f"systemctl stop {unit} 2> /dev/null; rm -f {output}")
    dom0.succeeds("systemd-run", *quiet, *properties, *words)
    try:
        dom0.succeeds(
            f"until grep -q '{says}' {output}; do "
            f"systemctl is-active -q {unit} || {{ cat {output}; exit 1; }}; sleep 0.5; done",
            timeout=400,
        )
        yield
    finally:
        dom0.run("systemctl", "stop", unit)


@contextmanager
def forwarded(dom0: Dom0) -> Iterator[str]:
    """Bring dom0's port here by ssh; yields the address."""
    lab = record.load(dom0.name)
    assert lab is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Of its own: the connection that commands share would end with the command that made it.
    own = ("-o", "ControlPath=none", "-o", "ExitOnForwardFailure=yes")
    ssh, *words = remote.ssh(lab, "-N", "-L", f"127.0.0.1:{port}:127.0.0.1:{PORT}")
    with subprocess.Popen([ssh, *own, *words]) as process:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


@contextmanager
def scraped(dom0: Dom0, where: Path, options: str, every_s: int = 5) -> Iterator[Prometheus]:
    """Run the agent in dom0, and a Prometheus with the rules of deploy/prometheus, in a hurry.

    Args:
        dom0: of the lab.
        where: an empty directory.
        options: the agent's configuration.
        every_s: seconds between scrapes.
    """
    file = where / "serve.toml"
    file.write_text(options)
    dom0.put(file)
    rules = {rule.name: shorten_times(rule.read_text(), HURRY[rule.name]) for rule in RULES}
    agent = ("xengt", "serve", "--config", "/root/serve.toml")
    with serving(dom0, "agent", *agent, says="listening"), forwarded(dom0) as address:
        job = {"job_name": "xengt", "static_configs": [{"targets": [address]}]}
        with prometheus(where, config(job, rules, every_s), rules) as server:
            assert waits_until(server.up, 600)
            yield server


def empty(server: Prometheus, needs: set[Requirement | None], seconds: float = 30) -> list[str]:
    """The dashboard's queries, of panels that need one of these, that have returned nothing."""
    ((labels, _),) = server.query("up").items()
    asked = [
        query for row in ROWS.values() for p in row if p.requires in needs for query in p.queries
    ]
    exprs = [interpolate(query.expr, dict(labels)["instance"], "30s") for query in asked]
    return [expr for expr in exprs if not _returned(server, expr, seconds)]


def _returned(server: Prometheus, expr: str, seconds: float) -> bool:
    """Whether a query has had a number in it over the last seconds."""
    end = time.time()
    asked = {"query": expr, "start": end - seconds, "end": end, "step": 1}
    # NaN is what a quotient of nothing is.
    found = server.api_get("query_range", **asked)["result"]
    return any(value != "NaN" for each in found for _, value in each["values"])
