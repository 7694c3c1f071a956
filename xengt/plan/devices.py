"""What a domain's devices may have granted at once, and dom0 may have mapped of it.

Upper bounds, as Linux's frontends and backends have them.
"""

from dataclasses import dataclass

PAGE = 4096
#: Linux leaves the first references to the toolstack (GNTTAB_NR_RESERVED_ENTRIES).
RESERVED = 8
#: XenStore's ring and the console's: dom0's daemons map them through gntdev.
RESERVED_MAPPED = 2
#: What a ring's page has before its first slot (`struct blkif_sring`, `netif_tx_sring`).
_RING_HEAD = 64
#: Bytes of a slot: the larger of a request and a response.
_VBD_SLOT, _TX_SLOT, _RX_SLOT = 112, 12, 8
#: `struct blkif_request_segment`: how many of them an indirect page holds.
_SEGMENTS_A_PAGE = PAGE // 8
#: Segments of a request without indirect pages (BLKIF_MAX_SEGMENTS_PER_REQUEST).
DIRECT_SEGMENTS = 11


@dataclass(frozen=True, slots=True)
class GuestDevices:
    """A domain, by its devices.

    Args:
        vifs: network interfaces.
        vbds: disks.
        queues: of each device.
        ring_pages: of 4 KiB, in each queue of a disk.
        segments: of 4 KiB, that a disk request has at most; 0: no indirect ones.
        user_space: the disks' backend maps through gntdev, as QEMU's does.
    """

    vifs: int = 1
    vbds: int = 1
    queues: int = 1
    ring_pages: int = 1
    segments: int = 32
    user_space: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What one kind of thing needs.

    Args:
        what: it is.
        references: that the domain may have granted for it at once.
        mappings: that dom0 may have of them at once.
        formula: of the references, in numbers.
        source: where the formula is from.
    """

    what: str
    references: int
    mappings: int
    formula: str
    source: str


def slots(pages: int, size: int) -> int:
    """Count the slots of a ring: a power of two (`__CONST_RING_SIZE`, io/ring.h).

    Args:
        pages: of 4 KiB.
        size: of a slot, in bytes.
    """
    return 1 << ((pages * PAGE - _RING_HEAD) // size).bit_length() - 1


def parts(guest: GuestDevices, *, user_mappings: int) -> list[Part]:
    """Tell what each part of a domain needs.

    Args:
        guest: the domain.
        user_mappings: mappings of a reference that gntdev makes: 2 in a PV dom0, the kernel's
            and the process's, else 1.
    """
    tx, rx = slots(1, _TX_SLOT), slots(1, _RX_SLOT)
    vifs, vbds = guest.vifs * guest.queues, guest.vbds * guest.queues
    disk_slots = slots(guest.ring_pages, _VBD_SLOT)
    segments = guest.segments or DIRECT_SEGMENTS
    indirect = -(-guest.segments // _SEGMENTS_A_PAGE)
    disk = guest.ring_pages + disk_slots * (segments + indirect)
    indirectly = f" + {indirect} indirect" if indirect else ""
    return [
        Part(
            "reserved",
            RESERVED,
            RESERVED_MAPPED * user_mappings,
            f"{RESERVED}, of which XenStore's and the console's are mapped",
            "GNTTAB_NR_RESERVED_ENTRIES of public/grant_table.h",
        ),
        Part(
            "vifs",
            vifs * (2 + tx + rx),
            vifs * (2 + tx),
            f"{guest.vifs} * {guest.queues} queues * (2 rings + {tx} to send + {rx} to receive), "
            "the last of which netback copies to",
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
