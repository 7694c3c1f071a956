"""`xengt handle`: take a maptrack handle apart, or build one."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from xengt.errors import UnmetError
from xengt.xen.handle import Handle, build, split


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError as error:
        raise UnmetError(
            f"{text!r} is not a number", "give it in decimal or, with 0x before it, in hex"
        ) from error


def handle(
    value: Annotated[
        str | None,
        typer.Argument(metavar="HANDLE", show_default=False, help="The handle to take apart."),
    ] = None,
    domid: Annotated[
        str | None, typer.Option(show_default=False, help="Build a handle: the granter.")
    ] = None,
    gref: Annotated[
        str | None, typer.Option(show_default=False, help="Build a handle: its reference.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take a maptrack handle apart, or build one.

    The handle is read by the encoding of fast maptrack entries: bit 31 says
    fast, bits 30 to 16 hold the granter's domid, bits 15 to 0 the reference. A
    handle without bit 31 is an index into the mapper's maptrack table.

    Example: xengt handle 0x80010008
    """
    if value is not None and domid is None and gref is None:
        found = split(_number(value))
    elif value is None and domid is not None and gref is not None:
        found = build(_number(domid), _number(gref))
    else:
        raise UnmetError(
            "one handle to take apart, or --domid and --gref to build one, is needed",
            "for example `xengt handle 0x80010008` or `xengt handle --domid 1 --gref 8`",
        )
    if as_json:
        whole = {"handle": f"{found.value:#010x}", **asdict(found), "reserved": found.reserved}
        print(json.dumps(whole))
    else:
        print(_words(found))


def _words(found: Handle) -> str:
    name = f"{found.value:#010x}"
    if found.kind == "invalid":
        return f"{name}  invalid: the handle of a map that failed"
    if found.kind == "slow":
        return f"{name}  slow: entry {found.index} of the mapper's maptrack table"
    reserved = f" ({found.reserved}: no ordinary domain)" if found.reserved else ""
    return f"{name}  fast: granter domid {found.domid}{reserved}, reference {found.gref}"
