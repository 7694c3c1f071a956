"""The frames of this domain's own pages, as hypercalls name them."""

import struct
from pathlib import Path

from xengt.errors import FailedError, UnmetError
from xengt.recovery.journal import Journal, Writer
from xengt.sharing.references import Reference
from xengt.xen import kernel
from xengt.xen.handle import DOM0
from xenlib_cffi.call import MAX_BATCH, Call
from xenlib_cffi.errors import GrantStatus, status_text
from xenlib_cffi.gnttab import SharedPages
from xenlib_cffi.library import PAGE_SIZE

#: a word for each page of this process; its lower 55 bits are the frame number (Linux's
#: Documentation/admin-guide/mm/pagemap.rst)
_PAGEMAP = Path("/proc/self/pagemap")
_WORD = struct.Struct("<Q")
_FRAME_MASK = (1 << 55) - 1
_PRESENT = 1 << 63


def find_frames(pages: SharedPages, journal: Journal) -> list[int]:
    """Return the frame of each page: the mfn in a PV dom0, else the gfn.

    Linux reports the gfn. It does not report mfns to processes, but Xen returns the machine address
    of a page when a PV domain maps it for a device.

    Args:
        pages: pages that dom0 shares with itself.
        journal: of this run; it records the mappings while they exist.

    Raises:
        UnmetError: Linux hides the frames from this process.
        FailedError: Xen refused to unmap a page.
        GrantError: Xen refused to map a page.
        XenLibraryError: a library call failed.
    """
    if kernel.is_translated():
        return _gfns(pages)
    return _mfns(pages, journal)


def _gfns(pages: SharedPages) -> list[int]:
    with _PAGEMAP.open("rb", buffering=0) as pagemap:
        pagemap.seek(pages.number(0) * _WORD.size)
        words = [word for (word,) in _WORD.iter_unpack(pagemap.read(pages.count * _WORD.size))]
    # A wrong frame would have Xen overwrite a page of another owner in this domain.
    known = [word for word in words if word & _PRESENT and word & _FRAME_MASK]
    if len(known) < pages.count:
        raise UnmetError(
            f"the engine copy cannot read the frames of its own pages from {_PAGEMAP}",
            "run xengt as root with CAP_SYS_ADMIN, without which Linux hides them",
        )
    return [word & _FRAME_MASK for word in known]


def _mfns(pages: SharedPages, journal: Journal) -> list[int]:
    references = [Reference(DOM0, gref, 0) for gref in pages.references]
    (cursor,) = journal.begin([Writer(references, MAX_BATCH)], 0)
    frames: list[int] = []
    with Call() as call:
        for start in range(0, len(references), MAX_BATCH):
            _WORD.pack_into(cursor, 0, start + 1)
            batch = [(domid, gref) for domid, gref, _ in references[start : start + MAX_BATCH]]
            mapped = call.map_device(batch)
            refused = [each for each in call.unmap_device(mapped) if each != GrantStatus.OKAY]
            if refused:
                raise FailedError(
                    f"Xen refused to unmap {len(refused)} of dom0's own pages: "
                    f"{status_text(refused[0])}",
                    "the next run tries again; see `xl dmesg`",
                )
            _WORD.pack_into(cursor, 0, 0)
            frames += [mapping.bus_addr // PAGE_SIZE for mapping in mapped]
    return frames
