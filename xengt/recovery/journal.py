"""Records the mappings that a run makes by hypercall, so that the next run can undo them.

Linux does not track mappings that a process makes by a hypercall of its own, so they outlive it.
Every run therefore records in a file below /run which references it maps, the
handles of the mappings that it holds, and a cursor to the batch that each thread
maps. After a killed run, `sweep` reads the file. The lock on the file also prevents
two benchmarks from running at once.
"""

import mmap
import os
import struct
from collections.abc import Callable, Iterator, Sequence
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
    """A thread of a run that maps references batch by batch, in order.

    Attributes:
        references: all references that it maps.
        batch: number of references per batch.
        cursor: 1 + index of the first reference of the batch that may be mapped now;
            0 if no batch is mapped.
    """

    references: Sequence[Reference]
    batch: int
    cursor: int = 0


@dataclass
class Contents:
    """The contents of a journal.

    Attributes:
        writers: the threads, with the batches that they may have mapped.
        held: mappings that stay until the run ends, with their handles.
    """

    writers: list[Writer] = field(default_factory=list)
    held: list[GrantMapping] = field(default_factory=list)

    @property
    def mapped(self) -> bool:
        """Whether any mapping may still exist."""
        return bool(self.held or any(writer.cursor for writer in self.writers))


class Journal:
    """The locked journal; `begin` replaces the contents of an earlier run.

    The file consists of 8-byte little-endian words: magic; number of writers; number
    of held mappings; cursor, batch and number of references of each writer; every
    reference as domid << 32 | gref; handle and bus address of each held mapping.
    """

    def __init__(self, descriptor: int) -> None:
        """Wrap a locked file; `open_journal` opens and locks it.

        Args:
            descriptor: file descriptor for reading and writing.
        """
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None
        self._held_at = 0

    def read(self) -> Contents:
        """Return the contents that an earlier run left; empty if it cleaned up.

        An incomplete journal is also read as empty: it is the result of a kill during
        `begin`, when the run had not mapped any reference yet.
        """
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        words = _WORD.iter_unpack(data[: len(data) // _WORD.size * _WORD.size])
        try:
            return _contents(word for (word,) in words)
        except ValueError:
            return Contents()

    def begin(self, writers: Sequence[Writer], held: int) -> list[memoryview]:
        """Record the references that each writer is going to map.

        Args:
            writers: the writers; every cursor is 0.
            held: maximum number of mappings that will be added with `hold`.

        Returns:
            The cursor of each writer in the file, 8 bytes, which the writer updates.

        Raises:
            UnmetError: the file system has no space for the journal.
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
            # Allocated in advance: a write to a memory mapping raises SIGBUS if the disk is full.
            os.posix_fallocate(self._descriptor, 0, size)
        except OSError as error:
            raise UnmetError(
                f"the journal of mappings needs {size} bytes: {error.strerror}",
                f"free space in {PATH.parent.parent}, or reduce --references or --hold",
            ) from error
        self._map = mmap.mmap(self._descriptor, 0)
        struct.pack_into(f"<{len(words)}Q", self._map, 0, *words)
        view = memoryview(self._map)
        return [view[8 * at : 8 * at + 8] for at in range(3, 3 + 3 * len(writers), 3)]

    def hold(self, mappings: Sequence[GrantMapping]) -> None:
        """Record mappings that stay until the run ends."""
        if self._map is None:
            raise ValueError("hold before begin")
        (count,) = _WORD.unpack_from(self._map, 16)
        words = [word for mapping in mappings for word in mapping]
        struct.pack_into(f"<{len(words)}Q", self._map, 8 * (self._held_at + 2 * count), *words)
        # The count is written last, so that it never covers mappings not yet written.
        _WORD.pack_into(self._map, 16, count + len(mappings))

    @contextmanager
    def record_each(self, references: Sequence[Reference]) -> Iterator[Callable[[int], None]]:
        """Record references that are mapped one at a time, each unmapped before the next.

        Args:
            references: the references, in the order in which they are mapped.

        Yields:
            A function that records which of them may be mapped now: its number from 1, or 0.

        Raises:
            UnmetError: the journal has mappings of a killed run, or there is no space for it.
        """
        if self.read().mapped:
            raise UnmetError(
                "the journal has mappings of a killed run",
                "run `xengt bench --samples 1`, which cleans up",
            )
        (cursor,) = self.begin([Writer(references, 1)], 0)
        yield lambda number: _WORD.pack_into(cursor, 0, number)

    def clear_held(self) -> None:
        """Record that no mapping is held any more."""
        if self._map is not None:
            _WORD.pack_into(self._map, 16, 0)

    def clear(self) -> None:
        """Record that no mapping exists any more."""
        self._map = None
        os.ftruncate(self._descriptor, 0)


def _contents(words: Iterator[int]) -> Contents:
    """Parse the words of a journal.

    Raises:
        ValueError: the words are not a complete journal.
    """
    magic, writers, held = _take(words, 3)
    if magic != _MAGIC:
        raise ValueError("the file is not a journal")
    headers = [_take(words, 3) for _ in range(writers)]
    return Contents(
        [
            Writer([_reference(word) for word in _take(words, count)], batch, cursor)
            for cursor, batch, count in headers
        ],
        [_mapping(*_take(words, 2)) for _ in range(held)],
    )


def _take(words: Iterator[int], count: int) -> list[int]:
    taken = list(islice(words, count))
    if len(taken) < count:
        raise ValueError("the journal is incomplete")
    return taken


def _reference(word: int) -> Reference:
    return Reference(_checked(word >> 32, 16), word & 0xFFFFFFFF, 0)


def _mapping(handle: int, bus_addr: int) -> GrantMapping:
    return GrantMapping(_checked(handle, 32), bus_addr)


def _checked(value: int, bits: int) -> int:
    if value >> bits:
        raise ValueError(f"{value:#x} has more than {bits} bits")
    return value


@contextmanager
def open_journal(path: Path = PATH, *, timeout_s: float = 0.0) -> Iterator[Journal]:
    """Open and lock the journal.

    Args:
        path: the file; it must not survive a reboot, as the mappings do not.
        timeout_s: how long to wait for another process that holds the lock, in
            seconds; the probe of `xengt serve` holds it briefly.

    Raises:
        BusyError: another run holds the lock.
        UnmetError: the file cannot be opened.
    """
    busy = (
        f"another xengt process holds the lock on {path}: a benchmark, the agent's probe, "
        "`xengt map` or `xengt check`"
    )
    with file_lock(path, timeout_s=timeout_s, busy=busy) as descriptor:
        yield Journal(descriptor)
