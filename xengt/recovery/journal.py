"""What a run has mapped by hypercall, kept where a killed run cannot take it along.

Linux knows nothing of a mapping made through privcmd: it outlives its process.
So every run writes to a file of /run, before it maps a reference, that it may
have; and after, the handle Xen gave. `leftovers` reads it when the run is dead.
The file's lock is also what keeps two benchmarks from running at once.
"""

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from xengt.errors import UnmetError
from xengt.recovery.lock import file_lock
from xengt.sharing.references import Reference
from xenlib_cffi.call import GrantMapping

PATH = Path("/run/xengt/mappings")

_WORD = struct.Struct("<Q")
_MAGIC = 0x315F_7472_6E67_6E78  # "xngnrt_1"


@dataclass
class Writer:
    """Someone who maps references batch by batch, in order.

    Attributes:
        references: all it may map.
        batch: how many at a time.
        cursor: one more than the index of the batch that may be mapped now; 0: none.
    """

    references: Sequence[Reference]
    batch: int
    cursor: int = 0


@dataclass
class Contents:
    """What a journal says: who may have mapped what, and which handles are held."""

    writers: list[Writer] = field(default_factory=list)
    held: list[GrantMapping] = field(default_factory=list)

    @property
    def mapped(self) -> bool:
        """Whether anything may still be mapped."""
        return bool(self.held or any(writer.cursor for writer in self.writers))


class Journal:
    """The journal of this run, locked and empty until `begin`.

    Layout, in 8-byte little-endian words: magic; writers; held; then cursor,
    batch and number of references of each writer; then every reference as
    domid << 32 | gref; then handle and bus address of each mapping held.
    """

    def __init__(self, descriptor: int) -> None:
        """Use `opened` instead: it locks."""
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None
        self._held_at = 0

    def read(self) -> Contents:
        """What a run before this one left; nothing when it ended well.

        Nothing also when the file is no whole journal: that is how a run
        leaves it that was killed in `begin`, before it mapped a reference.
        """
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        words = _WORD.iter_unpack(data[: len(data) // _WORD.size * _WORD.size])
        try:
            return _contents(word for (word,) in words)
        except ValueError:
            return Contents()

    def begin(self, writers: Sequence[Writer], held: int) -> list[memoryview]:
        """Write who may map what from now on.

        Args:
            writers: their cursors stand at 0.
            held: the most mappings that `hold` will be told of.

        Returns:
            The cursor of each writer, 8 bytes that it writes to.

        Raises:
            UnmetError: there is no room for it.
        """
        words = [_MAGIC, len(writers), 0]
        for writer in writers:
            words += [0, writer.batch, len(writer.references)]
        for writer in writers:
            words += [domid << 32 | gref for domid, gref, _ in writer.references]
        self._held_at = len(words)
        size = _WORD.size * (len(words) + 2 * held)
        os.ftruncate(self._descriptor, 0)
        try:
            # Room for all of it now: writing to a mapping of a full disk is a SIGBUS.
            os.posix_fallocate(self._descriptor, 0, size)
        except OSError as error:
            raise UnmetError(
                f"no {size} bytes for the journal of mappings: {error.strerror}",
                f"make room on {PATH.parent.parent}, or ask for fewer --references or --hold",
            ) from error
        self._map = mmap.mmap(self._descriptor, 0)
        struct.pack_into(f"<{len(words)}Q", self._map, 0, *words)
        view = memoryview(self._map)
        return [view[8 * at : 8 * at + 8] for at in range(3, 3 + 3 * len(writers), 3)]

    def hold(self, mappings: Sequence[GrantMapping]) -> None:
        """Add mappings that stay until the run ends."""
        if self._map is None:
            raise ValueError("hold before begin")
        (count,) = _WORD.unpack_from(self._map, 16)
        words = [word for mapping in mappings for word in mapping]
        struct.pack_into(f"<{len(words)}Q", self._map, 8 * (self._held_at + 2 * count), *words)
        # The count last: what it covers is there.
        _WORD.pack_into(self._map, 16, count + len(mappings))

    def released(self) -> None:
        """Nothing is held any more."""
        if self._map is not None:
            _WORD.pack_into(self._map, 16, 0)

    def clear(self) -> None:
        """Nothing at all is mapped any more."""
        self._map = None
        os.ftruncate(self._descriptor, 0)


def _contents(words: Iterator[int]) -> Contents:
    """Read a journal.

    Raises:
        ValueError: it is none, or not a whole one.
    """
    magic, writers, held = _take(words, 3)
    if magic != _MAGIC:
        raise ValueError("no journal")
    shapes = [_take(words, 3) for _ in range(writers)]
    return Contents(
        [
            Writer([_reference(word) for word in _take(words, count)], batch, cursor)
            for cursor, batch, count in shapes
        ],
        [_mapping(*_take(words, 2)) for _ in range(held)],
    )


def _take(words: Iterator[int], count: int) -> list[int]:
    taken = list(islice(words, count))
    if len(taken) < count:
        raise ValueError("the journal ends too early")
    return taken


def _reference(word: int) -> Reference:
    return Reference(_fits(word >> 32, 16), word & 0xFFFFFFFF, 0)


def _mapping(handle: int, bus_addr: int) -> GrantMapping:
    return GrantMapping(_fits(handle, 32), bus_addr)


def _fits(value: int, bits: int) -> int:
    if value >> bits:
        raise ValueError(f"{value:#x} has more than {bits} bits")
    return value


@contextmanager
def open_journal(path: Path = PATH, *, patience_s: float = 0.0) -> Iterator[Journal]:
    """Open and lock the journal.

    Args:
        path: its file; on a file system that a reboot empties, like the mappings.
        patience_s: how long to wait for another that has it, in seconds: a probe of
            `xengt serve` has it for a moment.

    Raises:
        UnmetError: another run has it, or the file cannot be made.
    """
    busy = "another xengt is measuring on this host"
    with file_lock(path, patience_s=patience_s, busy=busy) as descriptor:
        yield Journal(descriptor)
