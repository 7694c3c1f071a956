"""`xengt share`: the granter's side, in a guest or in dom0."""

import json
import os
from collections.abc import Sequence
from typing import Annotated

import typer

from xengt.cli.signals import wait_for_termination
from xengt.sharing.gntalloc import own_domid, shared_pages
from xengt.sharing.publication import Publication
from xengt.sharing.publisher import publish_while_running
from xengt.sharing.references import MAX_REFERENCES, encode
from xengt.xen.handle import DOMID_FIRST_RESERVED
from xengt.xen.xenstore import XenStore

SCHEMA = "xengt.share/1"


def share(
    to: Annotated[
        int,
        typer.Option(
            min=0,
            max=DOMID_FIRST_RESERVED - 1,
            metavar="DOMID",
            show_default=False,
            help="Who may map them.",
        ),
    ],
    pages: Annotated[
        int, typer.Option(min=1, max=MAX_REFERENCES, help="How many pages of 4 KiB.")
    ] = 256,
    readonly: Annotated[bool, typer.Option("--readonly", help="Grant them read-only.")] = False,
    duration: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="S", show_default=False, help="End after S seconds, not at Ctrl-C."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, on one line.")] = False,
) -> None:
    """Share pages with another domain, publish their references, wait, and revoke them.

    Runs in a guest or in dom0, which may share with itself. `xengt bench
    --granter guest` in the other domain finds what is published here in
    XenStore. Ends at Ctrl-C or SIGTERM.

    Example: xengt share --to 0 --pages 512
    """
    with wait_for_termination() as wait, XenStore() as store:
        own = own_domid(store)
        with shared_pages(to, pages, own=own, writable=not readonly) as references:
            grefs = tuple(reference.gref for reference in references)
            with publish_while_running(
                store, Publication(own, to, grefs, not readonly, os.getpid())
            ):
                _tell(own, to, grefs, readonly=readonly, as_json=as_json)
                wait(duration)


def _tell(own: int, to: int, grefs: Sequence[int], *, readonly: bool, as_json: bool) -> None:
    """Print the one line that says the pages can be mapped from now on."""
    ranges = encode(grefs)
    if as_json:
        facts = {
            "schema": SCHEMA,
            "granter": own,
            "mapper": to,
            "pages": len(grefs),
            "writable": not readonly,
            "references": list(grefs),
        }
        print(json.dumps(facts), flush=True)
    else:
        kind = "read-only references" if readonly else "references"
        print(f"ready: {len(grefs)} {kind} to domain {to}: {ranges}", flush=True)
