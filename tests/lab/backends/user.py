"""A process of dom0 has an NVMe controller read and write what a guest shares with it.

As a disk's backend in user space does: references mapped through gntdev, and direct I/O with them.
Prints a JSON line: by way of the data, whether both ends have the same; what the kernel says of
the controller's DMA; and what became of a disk being read into pages mapped for reading only.
"""

import json
import os
from collections.abc import Sequence

from nvme import DISK, Traced, controller, direct, ready

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


def both_ways(disk: int, references: Sequence[tuple[int, int]]) -> dict:
    told = {}
    with GrantMapper() as mapper, mapper.map(references) as pages:
        before = content(pages)
        try:
            fill(pages, data := os.urandom(LENGTH))
            assert os.pwritev(disk, parts(pages), 0) == LENGTH
            told["wrote"] = direct("iflag=direct", "count=4", f"if={DISK}") == data
            direct("iflag=fullblock", "oflag=direct", f"of={DISK}", given=os.urandom(LENGTH))
            data = direct("iflag=direct", "count=4", f"if={DISK}")
            assert os.preadv(disk, parts(pages), 0) == LENGTH
            told["read"] = content(pages) == data
        finally:
            fill(pages, before)  # of whoever shares it
    return told


def for_reading_only(disk: int, references: Sequence[tuple[int, int]]) -> dict:
    told = {}
    with GrantMapper() as mapper, mapper.map(references, readonly=True) as pages:
        before = content(pages)
        assert os.pwritev(disk, parts(pages), 0) == LENGTH
        told["wrote, readonly"] = direct("iflag=direct", "count=4", f"if={DISK}") == before
        direct("iflag=fullblock", "oflag=direct", f"of={DISK}", given=os.urandom(LENGTH))
        try:
            os.preadv(disk, parts(pages), 0)
        except OSError as error:
            told["refused"] = os.strerror(error.errno)
        told["untouched"] = content(pages) == before
    return told


def main() -> dict:
    ready()
    with GuestGranter("guest") as granter, Traced(controller()) as traced:
        references = [(one.domid, one.gref) for one in granter.references(PAGES)]
        disk = os.open(DISK, os.O_RDWR | os.O_DIRECT)
        try:
            told = {**both_ways(disk, references), **for_reading_only(disk, references)}
        finally:
            os.close(disk)
        return {**told, "bytes": 3 * LENGTH, "dma": traced.told()}


if __name__ == "__main__":
    print(json.dumps(main()))
