"""`xengt plan`: the grant and maptrack frames that domains with given devices need."""

import re
import sys
from enum import StrEnum
from typing import Annotated

import typer

from xengt.cli.json_option import JsonTarget
from xengt.cli.outputs import Outputs
from xengt.errors import Exit, UnmetError
from xengt.plan import DEFAULTS_OF, Framebuffer, GuestDevices, Hosts, Preset, plan_frames
from xengt.plan.devices import DIRECT_SEGMENTS
from xengt.report.terminal import plan_table
from xengt.report.terminal.console import console_on
from xengt.xen import kernel

#: XENBUS_MAX_RING_GRANT_ORDER of Linux's xenbus.h
_MAX_RING_PAGES = 16
#: MAX_INDIRECT_SEGMENTS of Linux's xen-blkback/common.h
_MAX_SEGMENTS = 256
#: MAX_RING_SHIFT of libxenvchan is 20
_MAX_VCHAN_PAGES = 256
_FRAMEBUFFER = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)


class Backend(StrEnum):
    """The kinds of devices whose backends can be in a driver domain."""

    VIFS = "vifs"
    VBDS = "vbds"


def plan(
    vifs: Annotated[
        int, typer.Option(min=0, help="Number of network interfaces (vifs) per domain.")
    ] = 1,
    vbds: Annotated[int, typer.Option(min=0, help="Number of disks (vbds) per domain.")] = 1,
    preset: Annotated[
        Preset | None,
        typer.Option(
            show_default=False,
            help="Defaults for the options that are not given. linux: 8 queues per vif and 4 per "
            "vbd, blkback. xapi (XenServer, XCP-ng): 8 queues per vif, tapdisk, room for one more "
            "vif and vbd, and the limit that XAPI gives to a domain's grant table.",
        ),
    ] = None,
    queues: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help="Queues per vif and per vbd (default: 1)."),
    ] = None,
    vif_queues: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help="Queues per vif (default: --queues)."),
    ] = None,
    vbd_queues: Annotated[
        int | None,
        typer.Option(
            min=1, show_default=False, help="Queues per vbd of blkback (default: --queues)."
        ),
    ] = None,
    vcpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=False,
            help="vCPUs per domain, used with --preset: Linux creates at most one queue per vCPU.",
        ),
    ] = None,
    ring_pages: Annotated[
        int,
        typer.Option(min=1, max=_MAX_RING_PAGES, help="Pages per ring of a vbd: 1, 2, 4, 8 or 16."),
    ] = 1,
    segments: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=_MAX_SEGMENTS,
            show_default=False,
            help="Maximum pages per vbd request of blkback (xen_blkfront.max_indirect_segments); "
            f"0 disables indirect requests, which allows {DIRECT_SEGMENTS} pages (default: 32).",
        ),
    ] = None,
    user_space: Annotated[
        bool | None,
        typer.Option(
            "--user-space/--no-user-space",
            show_default=False,
            help="The vbd backends are processes, QEMU or tapdisk: they map the rings only, and "
            f"copy up to {DIRECT_SEGMENTS} pages per request.",
        ),
    ] = None,
    headroom: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default=False,
            help="Number of vifs, and of vbds, to reserve per domain for hotplug (default: 0).",
        ),
    ] = None,
    pages: Annotated[
        int, typer.Option(min=0, help="Pages per domain granted by other means (xengt share).")
    ] = 0,
    vchans: Annotated[
        int, typer.Option(min=0, help="Number of vchans (libxenvchan) that each domain serves.")
    ] = 0,
    vchan_pages: Annotated[
        int,
        typer.Option(
            min=0,
            max=_MAX_VCHAN_PAGES,
            help="Pages of the buffer of each direction of a vchan; 0: both buffers are in the "
            "page of the rings.",
        ),
    ] = 1,
    framebuffer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            show_default=False,
            help="A framebuffer or window that each domain grants (displif, Qubes OS), in pixels "
            "of 4 bytes; can be repeated.",
        ),
    ] = None,
    domains: Annotated[int, typer.Option(min=1, help="Number of such domains.")] = 1,
    dom0_vcpus: Annotated[
        int | None,
        typer.Option(
            min=1, show_default=False, help="vCPUs of dom0 (default: the CPUs of this machine)."
        ),
    ] = None,
    driver_domain: Annotated[
        list[Backend] | None,
        typer.Option(
            show_default=False,
            help="The backends of these devices are in a driver domain instead of dom0. Repeat the "
            "option to put vifs and vbds into two separate driver domains.",
        ),
    ] = None,
    driver_vcpus: Annotated[int, typer.Option(min=1, help="vCPUs of each driver domain.")] = 1,
    as_json: JsonTarget = None,
) -> None:
    """Calculate the grant and maptrack frames that domains with given devices need.

    The result is an upper bound for Linux's drivers, with all rings full at once, in
    frames of 4 KiB. It is compared with the limits of the running Xen, or with Xen's
    defaults on a machine without Xen: dom0 has the limits it was created with. The
    exit code is 1 if a limit is too small.

    Example: xengt plan --preset xapi --vifs 16 --vbds 4 --domains 20
    """
    outputs = Outputs({"--json": as_json})
    if ring_pages & ring_pages - 1:
        raise UnmetError(
            f"--ring-pages {ring_pages} is not a power of two", "give 1, 2, 4, 8 or 16"
        )
    defaults = DEFAULTS_OF[preset]
    processes = defaults.user_space if user_space is None else user_space
    if processes:
        _reject_blkback_options(vbd_queues, segments)

    def queues_of(given: int | None, default: int) -> int:
        return given or queues or min(default, vcpus or default)

    guest = GuestDevices(
        vifs=vifs,
        vbds=vbds,
        vif_queues=queues_of(vif_queues, defaults.vif_queues),
        vbd_queues=1 if processes else queues_of(vbd_queues, defaults.vbd_queues),
        ring_pages=ring_pages,
        segments=0 if processes else defaults.segments if segments is None else segments,
        user_space=processes,
        headroom=defaults.headroom if headroom is None else headroom,
        pages=pages,
        vchans=vchans,
        vchan_pages=vchan_pages,
        framebuffers=tuple(_parse_framebuffer(text) for text in framebuffer or ()),
    )
    hosts = Hosts(
        dom0_vcpus=dom0_vcpus or kernel.online_vcpus(),
        pv_dom0=kernel.dom0_kind() in {"PV", None},
        driver_domains=tuple(dict.fromkeys(map(str, driver_domain or ()))),
        driver_vcpus=driver_vcpus,
    )
    frame_plan = plan_frames(guest, domains, hosts, preset)
    outputs.write_document(frame_plan.to_json())
    if not outputs.on_standard_output:
        plan_table.show(frame_plan, console_on(sys.stdout))
    if not frame_plan.fits:
        raise typer.Exit(Exit.BEYOND_BOUND)


def _reject_blkback_options(vbd_queues: int | None, segments: int | None) -> None:
    """Reject what QEMU and tapdisk do not have.

    Raises:
        UnmetError: several queues or indirect requests were requested.
    """
    for option, value, most in (("--vbd-queues", vbd_queues, 1), ("--segments", segments, 0)):
        if value is not None and value > most:
            raise UnmetError(
                f"{option} {value} is for blkback: a vbd of QEMU or tapdisk has one queue and no "
                "indirect requests",
                f"omit {option}, or give --no-user-space",
            )


def _parse_framebuffer(text: str) -> Framebuffer:
    match = _FRAMEBUFFER.fullmatch(text)
    if match is None:
        raise UnmetError(
            f"--framebuffer {text[:40]!r} is not a size in pixels", "give a size such as 1920x1080"
        )
    return Framebuffer(int(match[1]), int(match[2]))
