"""`xengt serve`: the agent that a Prometheus scrapes."""

import json
from pathlib import Path
from typing import Annotated

import typer

from xengt.serve.config import load
from xengt.xen import preflight

SCHEMA = "xengt.serve/1"


def serve(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="The configuration, TOML."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say where it listens as JSON, on one line.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what is wrong with the configuration, if it is."),
    ] = False,
) -> None:
    """Serve what the host tells, and what a small probe measures, to a Prometheus.

    Listens on 127.0.0.1:9805, path /metrics, if the configuration says nothing
    else; xengt-serve.toml(5) shows every key of it. The probe maps and unmaps
    a few references of a domain of its own, within a budget of CPU time. SIGHUP
    has the configuration read again; Ctrl-C and SIGTERM end it, and nothing stays.
    --dry-run serves nothing and needs no Xen: a configuration that is to replace
    another can be tried on any machine.

    Example: xengt serve --config /etc/xengt/serve.toml
    """
    if dry_run:
        load(config)
        return
    # Here, so that no other command waits for prometheus_client.
    from xengt.serve import logs, service  # noqa: PLC0415

    logs.start()

    def told(address: str) -> None:
        if as_json:
            print(json.dumps({"schema": SCHEMA, "address": address}), flush=True)
        else:
            print(f"listening: {address}", flush=True)

    with logs.errors_logged(), preflight.library_errors_explained():
        preflight.require_dom0([])
        service.serve(config, told)
