"""`xengt map`: map granted pages of another domain and print their contents."""

from typing import Annotated, Any

import typer

from xengt.cli.json_option import JsonTarget
from xengt.cli.outputs import Outputs
from xengt.cli.signals import wait_for_termination
from xengt.errors import UnmetError
from xengt.recovery.recorded_maps import record_maps
from xengt.report.terminal.hexdump import hexdump
from xengt.sharing.mapping import PageContent, map_references
from xengt.sharing.references import MAX_REFERENCES, parse_grefs
from xengt.xen.handle import DOMID_FIRST_RESERVED

SCHEMA = "xengt.map/1"


def map_pages(
    domid: Annotated[
        int,
        typer.Argument(
            metavar="DOMID", min=0, max=DOMID_FIRST_RESERVED - 1, help="Domid of the granter."
        ),
    ],
    grefs: Annotated[
        list[str],
        typer.Argument(
            metavar="GREF...",
            help="Grant references or ranges of them, decimal or 0x hex: 8-263,0x1a3.",
        ),
    ],
    dump: Annotated[
        bool, typer.Option("--hexdump", help="Print the pages in hexadecimal, besides checksums.")
    ] = False,
    writable: Annotated[
        bool, typer.Option("--writable", help="Map the pages writable; nothing is written.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Keep the pages mapped until Ctrl-C or SIGTERM.")
    ] = False,
    duration: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="S", show_default=False, help="Keep the pages mapped for S seconds."
        ),
    ] = None,
    as_json: JsonTarget = None,
) -> None:
    """Map pages that another domain grants, print their contents, and unmap them.

    The command runs in dom0 or in a guest and maps through gntdev. Each page is printed as its
    SHA-256 checksum, and pages that begin and end with the pattern of `xengt share`
    are marked. Every page is read once; the granter may write to it at any time.
    `xengt share` in the other domain prints the references of its pages.

    Example: xengt map 7 8-263 --hexdump
    """
    outputs = Outputs({"--json": as_json})
    references = _references(grefs)
    with map_references(domid, references, writable=writable, record=record_maps) as mapped:
        pages = []
        for page in mapped.read():
            if as_json:
                pages.append(_page_object(page, dump=dump))
            if not outputs.on_standard_output:
                _print_page(domid, page, dump=dump)
        outputs.write_document(_document(domid, pages, writable=writable))
        if wait or duration is not None:
            with wait_for_termination() as wait_for_end:
                wait_for_end(duration)


def _references(words: list[str]) -> list[int]:
    try:
        references = parse_grefs(",".join(words))
    except ValueError as error:
        raise UnmetError(
            f"invalid GREF: {error}",
            f"give up to {MAX_REFERENCES} references as `xengt share` prints them: 8-263,300",
        ) from error
    if not references:
        raise UnmetError("GREF is empty", "give references as `xengt share` prints them: 8-263,300")
    return references


def _print_page(domid: int, page: PageContent, *, dump: bool) -> None:
    mark = "  pattern of xengt share" * page.shared
    print(f"domain {domid} reference {page.gref}  sha256 {page.sha256}{mark}", flush=not dump)
    if dump:
        print("\n".join(hexdump(page.content)), flush=True)


def _document(domid: int, pages: list[dict[str, Any]], *, writable: bool) -> dict[str, Any]:
    """Return the document that `xengt/documents/map.schema.json` describes."""
    return {"schema": SCHEMA, "granter": domid, "writable": writable, "pages": pages}


def _page_object(page: PageContent, *, dump: bool) -> dict[str, Any]:
    facts = {"gref": page.gref, "sha256": page.sha256, "shared": page.shared}
    return facts | ({"content": page.content.hex()} if dump else {})
