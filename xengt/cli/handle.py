"""`xengt handle`: decode or build a maptrack handle."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from xengt.cli.json_option import JsonTarget
from xengt.cli.outputs import Outputs
from xengt.errors import UnmetError
from xengt.xen.handle import Handle, build, split

SCHEMA = "xengt.handle/1"


def handle(
    value: Annotated[
        str | None,
        typer.Argument(
            metavar="HANDLE", show_default=False, help="Handle to decode, decimal or 0x hex."
        ),
    ] = None,
    domid: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Domid of the granter, decimal or 0x hex, to build a fast handle.",
        ),
    ] = None,
    gref: Annotated[
        str | None,
        typer.Option(
            show_default=False, help="Grant reference, decimal or 0x hex, to build a fast handle."
        ),
    ] = None,
    as_json: JsonTarget = None,
) -> None:
    """Decode a maptrack handle, or build the fast handle of a grant reference.

    The encoding is that of the hypervisor patches with fast maptrack entries: bit
    31 marks a fast handle, bits 30 to 16 hold the granter's domid, and bits 15 to
    0 hold the grant reference. A handle with bit 31 clear is slow: an index into
    the mapper's maptrack table, like every handle of stock Xen. The
    command does not need Xen.

    Example: xengt handle 0x80010008
    """
    outputs = Outputs({"--json": as_json})
    if value is not None and domid is None and gref is None:
        decoded = split(_number(value))
    elif value is None and domid is not None and gref is not None:
        decoded = build(_number(domid), _number(gref))
    else:
        raise UnmetError(
            "xengt handle takes either a HANDLE, or both --domid and --gref",
            "for example `xengt handle 0x80010008` or `xengt handle --domid 1 --gref 8`",
        )
    outputs.write_document(_document(decoded))
    if not outputs.on_standard_output:
        print(_description(decoded))


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError as error:
        raise UnmetError(
            f"{text!r} is not a number", "give a decimal number, or a hexadecimal one with 0x"
        ) from error


def _document(decoded: Handle) -> dict[str, Any]:
    """Return the document that `xengt/documents/handle.schema.json` describes."""
    return {
        "schema": SCHEMA,
        "handle": f"{decoded.value:#010x}",
        **asdict(decoded),
        "reserved": decoded.reserved,
    }


def _description(decoded: Handle) -> str:
    name = f"{decoded.value:#010x}"
    if decoded.kind == "invalid":
        return f"{name}  invalid: the handle value that Xen never assigns"
    if decoded.kind == "slow":
        return f"{name}  slow: entry {decoded.index} of the mapper's maptrack table"
    reserved = f" ({decoded.reserved}, a reserved domid)" if decoded.reserved else ""
    return f"{name}  fast: granter domid {decoded.domid}{reserved}, reference {decoded.gref}"
