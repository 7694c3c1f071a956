"""`xengt share`: share pages of this domain with another domain."""

import os
from typing import Annotated, Any

import typer

from xengt.cli.json_option import JsonTarget
from xengt.cli.outputs import Outputs
from xengt.cli.signals import wait_for_termination
from xengt.sharing.gntalloc import own_domid, shared_pages
from xengt.sharing.publication import Publication
from xengt.sharing.publisher import publish_while_running
from xengt.sharing.references import MAX_REFERENCES, format_grefs
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
            help="Domid of the domain that may map the pages.",
        ),
    ],
    pages: Annotated[
        int, typer.Option(min=1, max=MAX_REFERENCES, help="Number of pages to share, 4 KiB each.")
    ] = 256,
    readonly: Annotated[
        bool, typer.Option("--readonly", help="Grant the pages read-only.")
    ] = False,
    duration: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="S",
            show_default=False,
            help="End after S seconds instead of at Ctrl-C.",
        ),
    ] = None,
    as_json: JsonTarget = None,
) -> None:
    """Share pages with another domain until Ctrl-C or SIGTERM, then revoke the grants.

    The command runs in a guest, or in dom0, which can also share with itself, and
    allocates the pages through gntalloc. It publishes the references in XenStore,
    where `xengt bench --granter guest` in the other domain reads them, and prints
    them once the pages can be mapped.

    Example: xengt share --to 0 --pages 512
    """
    outputs = Outputs({"--json": as_json})
    with wait_for_termination() as wait_for_end, XenStore() as store:
        own = own_domid(store)
        with shared_pages(to, pages, own=own, writable=not readonly) as references:
            grefs = tuple(reference.gref for reference in references)
            publication = Publication(own, to, grefs, not readonly, os.getpid())
            with publish_while_running(store, publication):
                outputs.write_document(_document(publication))
                if not outputs.on_standard_output:
                    print(_ready_line(publication), flush=True)
                wait_for_end(duration)


def _document(publication: Publication) -> dict[str, Any]:
    """Return the document that `xengt/documents/share.schema.json` describes."""
    return {
        "schema": SCHEMA,
        "granter": publication.granter,
        "mapper": publication.mapper,
        "pages": len(publication.grefs),
        "writable": publication.writable,
        "references": list(publication.grefs),
    }


def _ready_line(publication: Publication) -> str:
    grefs = publication.grefs
    kind = "references" if publication.writable else "read-only references"
    return f"ready: {len(grefs)} {kind} to domain {publication.mapper}: {format_grefs(grefs)}"
