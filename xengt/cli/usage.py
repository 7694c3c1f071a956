"""`xengt usage`: the grant and maptrack frames and the mappings of each domain."""

import sys
import time
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from xengt.cli.json_option import DocumentCommand, JsonTarget
from xengt.cli.outputs import Outputs
from xengt.errors import UnmetError
from xengt.report.terminal import usage_table
from xengt.report.terminal.console import console_on
from xengt.usage import read_usage
from xengt.xen import preflight

#: seconds between readings if `--watch` has no value
DEFAULT_INTERVAL_S = 2.0
#: seconds; a reading makes ten hypercalls per domain, which disturb the workload
MIN_INTERVAL_S = 0.1


class WatchCommand(DocumentCommand):
    """A command whose option `--watch` takes an optional number of seconds."""

    def complete(self, args: list[str], *, completing: bool) -> list[str]:
        """Return the arguments, with the default after a `--watch` without a value.

        Args:
            args: the arguments of the command.
            completing: a shell completes the line.
        """
        complete: list[str] = []
        for word, following in zip(args, [*args[1:], "-"], strict=False):
            complete.append(word)
            if word == "--watch" and following.startswith("-"):
                complete.append(f"{DEFAULT_INTERVAL_S:g}")
        return super().complete(complete, completing=completing)


def usage(
    as_json: JsonTarget = None,
    from_console: Annotated[
        bool,
        typer.Option(
            "--from-console",
            help="Have Xen print all grant tables on its console (debug key g), and read there who "
            "maps which reference and, on stock Xen, the sizes of maptrack tables. Xen holds each "
            "table's lock while it prints, on a serial console 7 ms per reference in use.",
        ),
    ] = False,
    watch: Annotated[
        float | None,
        typer.Option(
            metavar="[SECONDS]",
            show_default=False,
            help="Repeat every SECONDS until Ctrl-C "
            f"(without a number: every {DEFAULT_INTERVAL_S:g} seconds).",
        ),
    ] = None,
) -> None:
    """Show the size of each domain's grant and maptrack tables, and its mappings.

    Tables are counted in frames of 4 KiB, with their limits. Mappings are those that
    the domain made of other domains' references, at present and since its creation:
    fast mappings are recorded in the granters' tables, slow ones in the mapper's
    maptrack table. A second table counts, per mapping domain, TLB flushes for unmaps,
    and batches of unmaps that needed none because of gnttab=skip-flush. Only the
    patched hypervisor reports all figures; stock Xen reports grant frames, and the
    other columns show a dash. With --from-console, maptrack frames and the mappers of
    all references are read from Xen's console, as far as they fit into its ring
    (conring_size on Xen's command line). With --watch, --json writes one document per
    reading.

    Example: xengt usage --watch 5
    """
    outputs = Outputs({"--json": as_json})
    if watch is not None and not MIN_INTERVAL_S <= watch < float("inf"):
        raise UnmetError(
            f"--watch {watch:g} is out of range",
            f"give a number of seconds from {MIN_INTERVAL_S:g} on",
        )
    if watch is not None and from_console:
        raise UnmetError(
            "--from-console cannot be repeated: Xen stops the domains' grant operations to print",
            "omit --watch or --from-console",
        )
    preflight.require_control_domain()
    with preflight.library_errors_explained():
        if watch is None:
            reading = read_usage(from_console=from_console)
            outputs.write_document(reading.to_json())
            if not outputs.on_standard_output:
                usage_table.show(reading, console_on(sys.stdout))
        else:
            _watch(watch, outputs)


def _watch(seconds: float, outputs: Outputs) -> None:
    """Repeat the reading until Ctrl-C, which is not an error."""
    console = console_on(sys.stdout)
    try:
        if console.is_terminal and not outputs.on_standard_output:
            _watch_live(seconds, console, outputs)
        while True:
            reading = read_usage()
            outputs.write_document(reading.to_json())
            if not outputs.on_standard_output:
                print(reading.created)
                usage_table.show(reading, console)
                print(flush=True)
            time.sleep(seconds)
    except KeyboardInterrupt:
        return


def _watch_live(seconds: float, console: Console, outputs: Outputs) -> None:
    # The screen changes only with a new reading, so there is no automatic refresh.
    with Live(console=console, auto_refresh=False) as screen:
        while True:
            reading = read_usage()
            outputs.write_document(reading.to_json())
            flushes = usage_table.flushes_table(reading)
            screen.update(
                Group(
                    Text(f"{reading.created}, every {seconds:g} s; press Ctrl-C to end"),
                    usage_table.table(reading, stacked=True),
                    *(() if flushes is None else ("", flushes, "")),
                    *(Text(note) for note in usage_table.notes(reading)),
                ),
                refresh=True,
            )
            time.sleep(seconds)
