"""`xengt map`: the mapper's side of `xengt share`, and of any other granter."""

import json
from typing import Annotated

import typer

from xengt.cli.signals import wait_for_termination
from xengt.errors import UnmetError
from xengt.report.terminal.hexdump import hexdump
from xengt.sharing.mapping import PageContent, map_references
from xengt.sharing.references import MAX_REFERENCES, decode
from xengt.xen.handle import DOMID_FIRST_RESERVED

SCHEMA = "xengt.map/1"


def map_pages(
    domid: Annotated[
        int, typer.Argument(min=0, max=DOMID_FIRST_RESERVED - 1, help="Whose pages: the granter.")
    ],
    grefs: Annotated[
        list[str],
        typer.Argument(metavar="GREF...", help="References, or ranges of them: 8-263,300."),
    ],
    dump: Annotated[
        bool, typer.Option("--hexdump", help="Show the pages in hexadecimal, not only checksums.")
    ] = False,
    writable: Annotated[
        bool, typer.Option("--writable", help="Map them for writing as well; nothing is written.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Keep them mapped until Ctrl-C or SIGTERM.")
    ] = False,
    duration: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="S", show_default=False, help="Keep them mapped for S seconds."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, on one line.")] = False,
) -> None:
    """Map pages that another domain grants, show what is in them, and unmap.

    Runs in dom0 or in a guest, through gntdev. `xengt share` in the other domain
    prints the references of its pages; what begins and ends as those do is
    marked. A page is read once: its granter may be writing to it.

    Example: xengt map 7 8-263 --hexdump
    """
    references = _references(grefs)
    with map_references(domid, references, writable=writable) as pages:
        if as_json:
            _tell(domid, list(pages.look()), writable=writable, dump=dump)
        else:
            for seen in pages.look():
                _show(domid, seen, dump=dump)
        if wait or duration is not None:
            with wait_for_termination() as end:
                end(duration)


def _references(words: list[str]) -> list[int]:
    try:
        found = decode(",".join(words))
    except ValueError as error:
        raise UnmetError(
            f"GREF: {error}",
            f"give references as `xengt share` prints them, 8-263,300, {MAX_REFERENCES} at most",
        ) from error
    if not found:
        raise UnmetError("GREF: no reference is given", "give some as `xengt share` prints them")
    return found


def _show(domid: int, seen: PageContent, *, dump: bool) -> None:
    kind = "  xengt share's" * seen.shared
    print(f"domain {domid} reference {seen.gref}  sha256 {seen.sha256}{kind}", flush=not dump)
    if dump:
        print("\n".join(hexdump(seen.content)), flush=True)


def _tell(domid: int, pages: list[PageContent], *, writable: bool, dump: bool) -> None:
    facts = {
        "schema": SCHEMA,
        "granter": domid,
        "writable": writable,
        "pages": [
            {"gref": seen.gref, "sha256": seen.sha256, "shared": seen.shared}
            | ({"content": seen.content.hex()} if dump else {})
            for seen in pages
        ],
    }
    print(json.dumps(facts), flush=True)
