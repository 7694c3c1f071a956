"""`xengt serve`: the agent that Prometheus scrapes."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from xengt.cli.json_option import JsonTarget
from xengt.cli.outputs import Outputs
from xengt.serve import dry_run as rehearsal
from xengt.xen import preflight

SCHEMA = "xengt.serve/1"


def serve(
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="TOML configuration file (default: built-in defaults).",
        ),
    ] = None,
    as_json: JsonTarget = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Validate the configuration for this host and exit.")
    ] = False,
) -> None:
    """Serve metrics of grant tables and of a latency probe to Prometheus.

    By default the agent listens on 127.0.0.1:9805; it prints the address once it
    listens. Metrics are at /metrics. xengt-serve.toml(5) describes all configuration
    keys. Each scrape reads the state of all domains' grant tables from Xen. A probe
    maps and unmaps references of an empty domain that it creates, within a CPU
    budget. SIGHUP reloads the configuration. SIGINT (Ctrl-C) and SIGTERM stop the
    agent, which removes the domain and all mappings. With --dry-run the command needs neither
    Xen nor a free port: it validates the configuration, the files that it names,
    the dates of the certificate, and that this host has the listening address.

    Example: xengt serve --config /etc/xengt/serve.toml
    """
    outputs = Outputs({"--json": as_json})
    if dry_run:
        for deprecation in rehearsal.validate(config):
            print(f"xengt: warning: {deprecation}", file=sys.stderr)
        return
    # Imported here, so that no other command waits for prometheus_client.
    from xengt.serve import logs, service  # noqa: PLC0415

    logs.configure()

    def announce(address: str) -> None:
        outputs.write_document({"schema": SCHEMA, "address": address})
        if not outputs.on_standard_output:
            print(f"listening on {address}", flush=True)

    with logs.errors_logged(), preflight.library_errors_explained():
        preflight.require_control_domain()
        service.serve(config, announce)
