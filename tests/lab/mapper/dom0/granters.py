"""Granters for the mapper: empty domains of ours that grant to whom a test says.

Few pages are granted by many references each, so that memory sets no bound.
"""

import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from patience import patient

from xengt.recovery import domain_owner
from xengt.recovery.empty_domains import destroy_domains
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.foreignmemory import ENTRIES_PER_FRAME, ForeignMemory, GrantTable

PERMIT, READONLY, READING, WRITING = 1, 4, 8, 16
FIRST = 8
_ENTRY = struct.Struct("<HHI")


def stamp(domid: int, gref: int) -> int:
    """The first 8 bytes of a granted page (STAMP of guest/mailbox.h)."""
    return 0x5E << 56 | domid << 32 | gref


class Granter:
    """One empty domain, its pages and its grant table.

    Args:
        ctrl: open.
        memory: open.
        pages: it has; at least 1.
        frames: of its grant table.
    """

    def __init__(self, ctrl: Ctrl, memory: ForeignMemory, pages: int, frames: int) -> None:
        self.memory = memory
        self.domid = ctrl.create_empty(domain_owner.uuid(), frames)
        self.mfns = ctrl.populate(self.domid, pages)
        self.table: GrantTable = memory.grant_table(self.domid, frames)
        self.raw = memoryview(
            memory.ffi.buffer(self.table._entries, self.table.size * _ENTRY.size)
        ).cast("B")
        self.written: dict[int, bytes] = {}

    def grant(self, first: int, grefs: int, mapper: int, flags: int = PERMIT) -> None:
        """Grant pages by turns: reference `first` the first page, and so on."""
        entries = [_ENTRY.pack(flags, mapper, mfn) for mfn in self.mfns]
        turn = b"".join(entries)
        content = turn * (grefs // len(entries)) + b"".join(entries[: grefs % len(entries)])
        place = slice(first * _ENTRY.size, first * _ENTRY.size + len(content))
        self.raw[place] = content
        self.written[first] = content

    def marks(self) -> dict[int, int]:
        """Which references Xen marks as mapped, and its marks; compares in one go first."""
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
        """Write a reference's stamp into the page of that index."""
        with self.memory.map(self.domid, [self.mfns[index]]) as page:
            struct.pack_into("<Q", page.page(0), 0, stamp(self.domid, gref))

    def close(self) -> None:
        """Let go of the table; the domain can be gone then."""
        self.raw.release()
        self.table.close()


class Granters:
    """Several of them, gone when left.

    Args:
        count: of domains.
        grefs: references each, from 8 on.
        pages: of each.
    """

    def __init__(self, count: int, grefs: int, pages: int = 1) -> None:
        self.count, self.grefs, self.pages = count, grefs, pages
        self.frames = -(-(FIRST + grefs) // ENTRIES_PER_FRAME)
        self.all: list[Granter] = []

    def __enter__(self) -> Self:
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
        """Grant all references of all of them to a mapper."""
        for granter in self.all:
            granter.grant(FIRST, self.grefs, mapper, flags)

    def marks(self) -> int:
        """How many references Xen marks as mapped."""
        return sum(len(granter.marks()) for granter in self.all)

    def __iter__(self):
        return iter(self.all)

    def domids(self) -> Sequence[int]:
        return [granter.domid for granter in self.all]

    def __exit__(self, *_: object) -> None:
        with self._open:
            for granter in self.all:
                granter.close()
            destroy_domains(self.ctrl, self.domids())


def pinned(ctrl: Ctrl, domids: Sequence[int]) -> str:
    """What debug-key g prints of active entries of some domains; "" when there are none."""
    ctrl.console(clear=True)
    ctrl.send_debug_keys("g")
    deadline = time.monotonic() + patient(120)
    while "gnttab_usage_print_all ] done" not in (said := ctrl.console()):
        assert time.monotonic() < deadline, "debug-key g does not end"
        time.sleep(0.05)
    lines, ours = [], False
    for line in said.splitlines():
        if "for remote d" in line:
            ours = int(line.split("for remote d")[1].split()[0].rstrip(":(")) in domids
        elif ours and "[0x" in line:
            lines.append(line)
    return "\n".join(lines)
