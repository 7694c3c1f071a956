"""Granters for mappers: empty domains of xengt with grants to any domain.

Many references grant the same few pages, so that memory does not limit their number.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Self

from xengt.recovery import domain_owner
from xengt.recovery.domain_destruction import destroy_domains
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.foreignmemory import ENTRIES_PER_FRAME, ForeignMemory, GrantTable

PERMIT, READONLY, READING, WRITING = 1, 4, 8, 16
FIRST = 8
_ENTRY = struct.Struct("<HHI")


def stamp(domid: int, gref: int) -> int:
    """Return the first 8 bytes of a granted page, as STAMP of guest/mailbox.h."""
    return 0x5E << 56 | domid << 32 | gref


class Granter:
    """One empty domain, its pages and its grant table.

    Args:
        ctrl: an open handle.
        memory: an open handle.
        pages: number of its pages, at least 1.
        frames: number of its grant frames.
    """

    def __init__(self, ctrl: Ctrl, memory: ForeignMemory, pages: int, frames: int) -> None:
        """Create the domain, without grants."""
        self.memory = memory
        self.domid = ctrl.create_empty(domain_owner.uuid(), frames)
        self.mfns = ctrl.populate(self.domid, pages)
        self.table: GrantTable = memory.grant_table(self.domid, frames)
        # The whole table as bytes: tests grant 100,000 references, which `permit` does one by one.
        entries = self.table._entries  # noqa: SLF001
        self.raw = memoryview(memory.ffi.buffer(entries, self.table.size * _ENTRY.size)).cast("B")
        self.written: dict[int, bytes] = {}

    def grant(self, first: int, grefs: int, mapper: int, flags: int = PERMIT) -> None:
        """Grant the pages in turn to consecutive references from `first` on."""
        entries = [_ENTRY.pack(flags, mapper, mfn) for mfn in self.mfns]
        turn = b"".join(entries)
        content = turn * (grefs // len(entries)) + b"".join(entries[: grefs % len(entries)])
        place = slice(first * _ENTRY.size, first * _ENTRY.size + len(content))
        self.raw[place] = content
        self.written[first] = content

    def marks(self) -> dict[int, int]:
        """Return GTF_reading and GTF_writing of the references that Xen marks as mapped."""
        found = {}
        for first, content in self.written.items():
            now = bytes(self.raw[first * _ENTRY.size : first * _ENTRY.size + len(content)])
            if now != content:
                for index in range(len(content) // _ENTRY.size):
                    flags = _ENTRY.unpack_from(now, index * _ENTRY.size)[0]
                    if flags & (READING | WRITING):
                        found[first + index] = flags & (READING | WRITING)
        return found

    def page_stamp(self, index: int, gref: int) -> None:
        """Write the stamp of reference `gref` into page `index`."""
        with self.memory.map(self.domid, [self.mfns[index]]) as page:
            struct.pack_into("<Q", page.page(0), 0, stamp(self.domid, gref))

    def close(self) -> None:
        """Unmap the grant table, so that the domain can be destroyed."""
        self.raw.release()
        self.table.close()


class Granters:
    """Several granters in a `with` block, destroyed at its end.

    Args:
        count: number of domains.
        grefs: references per domain, from 8 on.
        pages: pages per domain.
    """

    def __init__(self, count: int, grefs: int, pages: int = 1) -> None:
        """Create nothing yet."""
        self.count, self.grefs, self.pages = count, grefs, pages
        self.frames = -(-(FIRST + grefs) // ENTRIES_PER_FRAME)
        self.all: list[Granter] = []

    def __enter__(self) -> Self:
        """Create the domains, and write the stamps of their pages."""
        with ExitStack() as stack:
            self.ctrl = stack.enter_context(Ctrl())
            memory = stack.enter_context(ForeignMemory())
            self._open = stack.pop_all()
        try:
            for _ in range(self.count):
                self.all.append(Granter(self.ctrl, memory, self.pages, self.frames))
                for index in range(self.pages):
                    self.all[-1].page_stamp(index, FIRST + index)
        except BaseException:
            self.__exit__()
            raise
        return self

    def grant(self, mapper: int, flags: int = PERMIT) -> None:
        """Grant all references of all granters to a mapper."""
        for granter in self.all:
            granter.grant(FIRST, self.grefs, mapper, flags)

    def marks(self) -> int:
        """Return how many references Xen marks as mapped."""
        return sum(len(granter.marks()) for granter in self.all)

    def __iter__(self) -> Iterator[Granter]:
        """Iterate over the domains."""
        return iter(self.all)

    def domids(self) -> Sequence[int]:
        """Return the domids."""
        return [granter.domid for granter in self.all]

    def __exit__(self, *_: object) -> None:
        """Destroy the domains."""
        with self._open:
            for granter in self.all:
                granter.close()
            destroy_domains(self.ctrl, self.domids())
