"""The references that a domain's devices grant at once, and the backends' mappings of them.

The numbers are upper bounds for Linux's frontends and for the backends of Linux, QEMU and tapdisk.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from xengt.xen.grant_table import FIRST_GREF
from xenlib_cffi.library import PAGE_SIZE

#: the part that every domain has
RESERVED = "reserved"
#: the rings of XenStore and of the console, which daemons in dom0 map through gntdev
RESERVED_MAPPED = 2
#: bytes before the first slot of a ring (`struct blkif_sring`, `netif_tx_sring`)
_RING_HEADER = 64
#: bytes of a slot: the larger of a request and a response
_VBD_SLOT, _TX_SLOT, _RX_SLOT = 112, 12, 8
#: entries of 8 bytes (`struct blkif_request_segment`) in an indirect page
_SEGMENTS_PER_PAGE = PAGE_SIZE // 8
#: segments of a request without indirect pages (BLKIF_MAX_SEGMENTS_PER_REQUEST)
DIRECT_SEGMENTS = 11
#: references of 4 bytes in a page directory, after the reference of the next directory
_REFERENCES_PER_DIRECTORY = PAGE_SIZE // 4 - 1
_BYTES_PER_PIXEL = 4


@dataclass(frozen=True, slots=True)
class Framebuffer:
    """A framebuffer with 32 bits per pixel, whose pages the domain grants.

    Args:
        width: pixels per line.
        height: number of lines.
    """

    width: int
    height: int

    def __str__(self) -> str:
        """Return it as the command line has it."""
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class GuestDevices:
    """What a domain grants pages for.

    Args:
        vifs: number of network interfaces.
        vbds: number of disks.
        vif_queues: queues of each network interface.
        vbd_queues: queues of each disk; QEMU and tapdisk have one.
        ring_pages: 4 KiB pages in the ring of each disk queue.
        segments: maximum 4 KiB pages of a disk request; 0 disables indirect requests, which
            QEMU and tapdisk do not have.
        user_space: whether the disks' backends are processes, QEMU's or tapdisk's.
        headroom: network interfaces, and disks, that may be added while the domain runs.
        pages: pages that are granted by other means, such as `xengt share`.
        vchans: number of vchans that the domain serves (libxenvchan).
        vchan_pages: 4 KiB pages of the buffer of each direction; 0 if both buffers are in the
            page of the rings.
        framebuffers: its framebuffers.
    """

    vifs: int = 1
    vbds: int = 1
    vif_queues: int = 1
    vbd_queues: int = 1
    ring_pages: int = 1
    segments: int = 32
    user_space: bool = False
    headroom: int = 0
    pages: int = 0
    vchans: int = 0
    vchan_pages: int = 1
    framebuffers: tuple[Framebuffer, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """The references and mappings for one use of a domain.

    Args:
        what: the use.
        references: maximum references that the domain grants for it at once.
        mappings: maximum mappings of these references by the backend's domain at once.
        formula: how the references are calculated, in numbers.
        source: the code in Linux, Xen or a backend that the formula follows.
    """

    what: str
    references: int
    mappings: int
    formula: str
    source: str


def slots(pages: int, size: int) -> int:
    """Return the number of slots of a ring, a power of two (`__CONST_RING_SIZE` of io/ring.h).

    Args:
        pages: 4 KiB pages of the ring.
        size: size of a slot in bytes.
    """
    return 1 << ((pages * PAGE_SIZE - _RING_HEADER) // size).bit_length() - 1


def parts(guest: GuestDevices, *, user_mappings: int) -> list[Part]:
    """Return the references and mappings for each use; the reserved references come first.

    Args:
        guest: what the domain grants pages for.
        user_mappings: mappings that gntdev makes of a reference: 2 in a PV dom0 (one for the
            kernel, one for the process), else 1.
    """
    return [
        Part(
            RESERVED,
            FIRST_GREF,
            RESERVED_MAPPED * user_mappings,
            f"{FIRST_GREF}, of which dom0 maps those of XenStore and the console",
            "GNTTAB_NR_RESERVED_ENTRIES of public/grant_table.h",
        ),
        _vifs(guest),
        _user_space_vbds(guest, user_mappings) if guest.user_space else _kernel_vbds(guest),
        *_other_uses(guest, user_mappings),
    ]


def _count(devices: int, headroom: int) -> str:
    return f"({devices} + {headroom} to be added)" if headroom else f"{devices}"


def _vifs(guest: GuestDevices) -> Part:
    tx, rx = slots(1, _TX_SLOT), slots(1, _RX_SLOT)
    queues = (guest.vifs + guest.headroom) * guest.vif_queues
    return Part(
        "vifs",
        queues * (2 + tx + rx),
        queues * (2 + tx),
        f"{_count(guest.vifs, guest.headroom)} * {guest.vif_queues} queues * "
        f"(2 rings + {tx} to send + {rx} to receive); "
        "netback maps the rings and the sent pages, and copies to the received ones",
        "xennet_init_queue() of xen-netfront.c, MAX_PENDING_REQS of xen-netback/common.h",
    )


def _kernel_vbds(guest: GuestDevices) -> Part:
    segments = guest.segments or DIRECT_SEGMENTS
    indirect = -(-guest.segments // _SEGMENTS_PER_PAGE)
    requests = slots(guest.ring_pages, _VBD_SLOT)
    queues = (guest.vbds + guest.headroom) * guest.vbd_queues
    references = queues * (guest.ring_pages + requests * (segments + indirect))
    indirectly = f" + {indirect} indirect" if indirect else ""
    return Part(
        "vbds",
        references,
        references,
        f"{_count(guest.vbds, guest.headroom)} * {guest.vbd_queues} queues * "
        f"({guest.ring_pages} ring pages + {requests} requests * ({segments} segments{indirectly}))"
        "; blkback maps all of them",
        "blkfront_setup_indirect() of xen-blkfront.c",
    )


def _user_space_vbds(guest: GuestDevices, user_mappings: int) -> Part:
    requests = slots(guest.ring_pages, _VBD_SLOT)
    vbds = guest.vbds + guest.headroom
    return Part(
        "vbds",
        vbds * (guest.ring_pages + requests * DIRECT_SEGMENTS),
        vbds * guest.ring_pages * user_mappings,
        f"{_count(guest.vbds, guest.headroom)} * ({guest.ring_pages} ring pages + "
        f"{requests} requests * {DIRECT_SEGMENTS} segments); the process maps the rings and "
        "copies the segments",
        "BLKIF_MAX_SEGMENTS_PER_REQUEST of io/blkif.h, xen_block_do_aio() of QEMU, "
        "guest_copy2() of tapdisk",
    )


def _other_uses(guest: GuestDevices, user_mappings: int) -> Iterator[Part]:
    """Yield the uses other than network and disks that the domain has; gntdev maps all of them."""
    if guest.pages:
        yield Part(
            "pages",
            guest.pages,
            guest.pages * user_mappings,
            f"{guest.pages} pages",
            "gntalloc_gref of gntalloc.c",
        )
    if guest.vchans:
        references = guest.vchans * (1 + 2 * guest.vchan_pages)
        yield Part(
            "vchans",
            references,
            references * user_mappings,
            f"{guest.vchans} * (1 page of the rings + 2 directions * {guest.vchan_pages} pages)",
            "init_gnt_srv() of libxenvchan",
        )
    if guest.framebuffers:
        pages = [
            -(-each.width * each.height * _BYTES_PER_PIXEL // PAGE_SIZE)
            for each in guest.framebuffers
        ]
        directories = sum(-(-each // _REFERENCES_PER_DIRECTORY) for each in pages)
        sizes = " + ".join(f"{each}" for each in guest.framebuffers)
        references = sum(pages) + directories
        yield Part(
            "framebuffers",
            references,
            references * user_mappings,
            f"{sizes} pixels of {_BYTES_PER_PIXEL} bytes in {sum(pages)} pages + "
            f"{directories} page directories",
            "xendispl_page_directory of io/displif.h",
        )
