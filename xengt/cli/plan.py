"""`xengt plan`: the grant and maptrack frames that domains with given devices need."""

import sys
from typing import Annotated

import typer

from xengt.cli.json_option import JsonTarget
from xengt.cli.outputs import Outputs
from xengt.errors import Exit, UnmetError
from xengt.plan import GuestDevices, plan_frames
from xengt.plan.devices import DIRECT_SEGMENTS
from xengt.report.terminal import plan_table
from xengt.report.terminal.console import console_on
from xengt.xen import kernel

#: XENBUS_MAX_RING_GRANT_ORDER of Linux's xenbus.h
_MAX_RING_PAGES = 16
#: MAX_INDIRECT_SEGMENTS of Linux's xen-blkback/common.h
_MAX_SEGMENTS = 256


def plan(
    vifs: Annotated[
        int, typer.Option(min=0, help="Number of network interfaces (vifs) per domain.")
    ] = 1,
    vbds: Annotated[int, typer.Option(min=0, help="Number of disks (vbds) per domain.")] = 1,
    queues: Annotated[
        int,
        typer.Option(
            min=1,
            help="Queues per device; Linux uses one per vCPU, at most 8 per vif and 4 per vbd.",
        ),
    ] = 1,
    ring_pages: Annotated[
        int,
        typer.Option(min=1, max=_MAX_RING_PAGES, help="Pages per ring of a vbd: 1, 2, 4, 8 or 16."),
    ] = 1,
    segments: Annotated[
        int,
        typer.Option(
            min=0,
            max=_MAX_SEGMENTS,
            help="Maximum pages per vbd request (xen_blkfront.max_indirect_segments); "
            f"0 disables indirect requests, which allows {DIRECT_SEGMENTS} pages.",
        ),
    ] = 32,
    user_space: Annotated[
        bool,
        typer.Option(
            "--user-space", help="The vbd backends run in user space, such as QEMU or tapdisk."
        ),
    ] = False,
    domains: Annotated[int, typer.Option(min=1, help="Number of such domains.")] = 1,
    dom0_vcpus: Annotated[
        int | None,
        typer.Option(
            min=1, show_default=False, help="vCPUs of dom0 (default: the CPUs of this machine)."
        ),
    ] = None,
    as_json: JsonTarget = None,
) -> None:
    """Calculate the grant and maptrack frames that domains with given devices need.

    The result is an upper bound for Linux's drivers, with all rings full at once, in
    frames of 4 KiB. It is compared with the limits of the running Xen, or with Xen's
    defaults on a machine without Xen. The exit code is 1 if a limit is too small.

    Example: xengt plan --vifs 2 --vbds 4 --queues 4 --domains 20
    """
    outputs = Outputs({"--json": as_json})
    if ring_pages & ring_pages - 1:
        raise UnmetError(
            f"--ring-pages {ring_pages} is not a power of two", "give 1, 2, 4, 8 or 16"
        )
    guest = GuestDevices(vifs, vbds, queues, ring_pages, segments, user_space)
    frame_plan = plan_frames(
        guest,
        domains,
        dom0_vcpus=dom0_vcpus or kernel.online_vcpus(),
        pv_dom0=kernel.dom0_kind() in {"PV", None},
    )
    outputs.write_document(frame_plan.to_json())
    if not outputs.on_standard_output:
        plan_table.show(frame_plan, console_on(sys.stdout))
    if not frame_plan.fits:
        raise typer.Exit(Exit.BEYOND_BOUND)
