"""Direct I/O of an NVMe disk to pages of a guest that a dom0 process maps through gntdev.

A disk backend in user space works like this. Prints a JSON line: whether written and read data
agree, the DMA mappings of the controller, and the error of reading into pages mapped read-only.
"""

import json
import os
from collections.abc import Sequence

from nvme_traffic import DISK, DmaTrace, controller_name, direct_io, wait_for_disk

from xengt.bench.granters.guest import GuestGranter
from xenlib_cffi.gnttab import GrantMapper
from xenlib_cffi.library import PAGE_SIZE, Pages

PAGES = 64
LENGTH = PAGES * PAGE_SIZE


def parts(pages: Pages) -> list[memoryview]:
    return [memoryview(pages.page(index)) for index in range(PAGES)]


def content(pages: Pages) -> bytes:
    return b"".join(map(bytes, parts(pages)))


def fill(pages: Pages, data: bytes) -> None:
    for index, part in enumerate(parts(pages)):
        part[:] = data[index * PAGE_SIZE : (index + 1) * PAGE_SIZE]


def write_and_read(disk: int, references: Sequence[tuple[int, int]]) -> dict:
    report = {}
    with GrantMapper() as mapper, mapper.map(references) as pages:
        before = content(pages)
        try:
            fill(pages, data := os.urandom(LENGTH))
            assert os.pwritev(disk, parts(pages), 0) == LENGTH
            report["wrote"] = direct_io("iflag=direct", "count=4", f"if={DISK}") == data
            direct_io("iflag=fullblock", "oflag=direct", f"of={DISK}", stdin=os.urandom(LENGTH))
            data = direct_io("iflag=direct", "count=4", f"if={DISK}")
            assert os.preadv(disk, parts(pages), 0) == LENGTH
            report["read"] = content(pages) == data
        finally:
            fill(pages, before)  # restore the guest's data
    return report


def write_from_readonly_pages(disk: int, references: Sequence[tuple[int, int]]) -> dict:
    report = {}
    with GrantMapper() as mapper, mapper.map(references, readonly=True) as pages:
        before = content(pages)
        assert os.pwritev(disk, parts(pages), 0) == LENGTH
        report["wrote, readonly"] = direct_io("iflag=direct", "count=4", f"if={DISK}") == before
        direct_io("iflag=fullblock", "oflag=direct", f"of={DISK}", stdin=os.urandom(LENGTH))
        try:
            os.preadv(disk, parts(pages), 0)
        except OSError as error:
            report["refused"] = os.strerror(error.errno)
        report["untouched"] = content(pages) == before
    return report


def main() -> dict:
    wait_for_disk()
    with GuestGranter("guest") as granter, DmaTrace(controller_name()) as trace:
        references = [(one.domid, one.gref) for one in granter.references(PAGES)]
        disk = os.open(DISK, os.O_RDWR | os.O_DIRECT)
        try:
            report = {
                **write_and_read(disk, references),
                **write_from_readonly_pages(disk, references),
            }
        finally:
            os.close(disk)
        return {**report, "bytes": 3 * LENGTH, "dma": trace.mappings()}


if __name__ == "__main__":
    print(json.dumps(main()))
