"""The references that a domain's devices grant at once, and dom0's mappings of them.

The numbers are upper bounds for Linux's frontends and backends.
"""

from dataclasses import dataclass

from xengt.xen.grant_table import FIRST_GREF
from xenlib_cffi.library import PAGE_SIZE

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


@dataclass(frozen=True, slots=True)
class GuestDevices:
    """The devices of a domain.

    Args:
        vifs: number of network interfaces.
        vbds: number of disks.
        queues: queues of each device.
        ring_pages: 4 KiB pages in the ring of each disk queue.
        segments: maximum 4 KiB pages of a disk request; 0 disables indirect requests.
        user_space: whether the disks' backend maps through gntdev, like QEMU's.
    """

    vifs: int = 1
    vbds: int = 1
    queues: int = 1
    ring_pages: int = 1
    segments: int = 32
    user_space: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """The references and mappings for one kind of device of a domain.

    Args:
        what: the kind of device.
        references: maximum references that the domain grants for it at once.
        mappings: maximum mappings of these references by dom0 at once.
        formula: how the references are calculated, in numbers.
        source: the code in Linux or Xen that the formula follows.
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
    """Return the references and mappings for each kind of device.

    Args:
        guest: the devices of the domain.
        user_mappings: mappings that gntdev makes of a reference: 2 in a PV dom0 (one for the
            kernel, one for the process), else 1.
    """
    tx, rx = slots(1, _TX_SLOT), slots(1, _RX_SLOT)
    vifs, vbds = guest.vifs * guest.queues, guest.vbds * guest.queues
    disk_slots = slots(guest.ring_pages, _VBD_SLOT)
    segments = guest.segments or DIRECT_SEGMENTS
    indirect = -(-guest.segments // _SEGMENTS_PER_PAGE)
    disk = guest.ring_pages + disk_slots * (segments + indirect)
    indirectly = f" + {indirect} indirect" if indirect else ""
    return [
        Part(
            "reserved",
            FIRST_GREF,
            RESERVED_MAPPED * user_mappings,
            f"{FIRST_GREF}, of which dom0 maps those of XenStore and the console",
            "GNTTAB_NR_RESERVED_ENTRIES of public/grant_table.h",
        ),
        Part(
            "vifs",
            vifs * (2 + tx + rx),
            vifs * (2 + tx),
            f"{guest.vifs} * {guest.queues} queues * (2 rings + {tx} to send + {rx} to receive); "
            "netback maps the rings and the sent pages, and copies to the received ones",
            "xennet_init_queue() of xen-netfront.c, MAX_PENDING_REQS of xen-netback/common.h",
        ),
        Part(
            "vbds",
            vbds * disk,
            vbds * disk * (user_mappings if guest.user_space else 1),
            f"{guest.vbds} * {guest.queues} queues * ({guest.ring_pages} ring pages + "
            f"{disk_slots} requests * ({segments} segments{indirectly}))",
            "blkfront_setup_indirect() of xen-blkfront.c",
        ),
    ]
