"""`xengt plan`: the grant and maptrack frames that domains with so many devices need."""

import json
import sys
from typing import Annotated

import typer

from xengt.errors import Exit, UnmetError
from xengt.plan import GuestDevices, plan_frames
from xengt.report.terminal import plan_table
from xengt.report.terminal.console import console_on
from xengt.xen import kernel

#: XENBUS_MAX_RING_GRANT_ORDER of Linux's xenbus.h
_MAX_RING_PAGES = 16
#: MAX_INDIRECT_SEGMENTS of Linux's xen-blkback/common.h
_MAX_SEGMENTS = 256


def plan(
    vifs: Annotated[int, typer.Option(min=0, help="Network interfaces of a domain.")] = 1,
    vbds: Annotated[int, typer.Option(min=0, help="Disks of a domain.")] = 1,
    queues: Annotated[
        int,
        typer.Option(
            min=1, help="Queues of each. Linux has one a vCPU, of a vif 8 and of a vbd 4 at most."
        ),
    ] = 1,
    ring_pages: Annotated[
        int, typer.Option(min=1, max=_MAX_RING_PAGES, help="Pages of a vbd's ring: 1, 2, 4, 8, 16.")
    ] = 1,
    segments: Annotated[
        int,
        typer.Option(
            min=0,
            max=_MAX_SEGMENTS,
            help="Pages of a vbd's request at most, xen_blkfront.max_indirect_segments; 0: 11.",
        ),
    ] = 32,
    user_space: Annotated[
        bool, typer.Option("--user-space", help="The vbds' backend is a process: QEMU, tapdisk.")
    ] = False,
    domains: Annotated[int, typer.Option(min=1, help="How many such domains.")] = 1,
    dom0_vcpus: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help="vCPUs of dom0; this machine's, if not said."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell how many grant and maptrack frames domains with such devices need.

    Upper bounds for Linux's drivers: all their rings full at once. Frames are of
    4 KiB. Needs no Xen; on one, it is compared with that one's limits, else with
    Xen's defaults. Exits with 1 if it does not fit them.

    Example: xengt plan --vifs 2 --vbds 4 --queues 4 --domains 20
    """
    if ring_pages & ring_pages - 1:
        raise UnmetError(f"--ring-pages {ring_pages}: a power of two is wanted")
    guest = GuestDevices(vifs, vbds, queues, ring_pages, segments, user_space)
    found = plan_frames(
        guest,
        domains,
        dom0_vcpus=dom0_vcpus or kernel.online_vcpus(),
        pv_dom0=kernel.dom0_kind() in {"PV", None},
    )
    if as_json:
        print(json.dumps(found.to_json(), indent=1))
    else:
        plan_table.show(found, console_on(sys.stdout))
    if not found.fits:
        raise typer.Exit(Exit.BELOW_BOUND)
