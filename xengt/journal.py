"""What a run has mapped by hypercall, kept where a killed run cannot take it along.

Linux knows nothing of a mapping made through privcmd: it outlives its process.
So every run writes to a file of /run, before it maps a reference, that it may
have; and after, the handle Xen gave. `leftovers` reads it when the run is dead.
The file's lock is also what keeps two benchmarks from running at once.
"""

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from xengt.errors import UnmetError
from xengt.references import Reference
from xenlib_cffi.call import Mapping

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
    held: list[Mapping] = field(default_factory=list)


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
        """What a run before this one left; nothing when it ended well."""
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        words = [word for (word,) in _WORD.iter_unpack(data[: len(data) // 8 * 8])]
        if len(words) < 3 or words[0] != _MAGIC:  # noqa: PLR2004 (the header's words)
            return Contents()
        rest = iter(words[3:])
        shapes = [(next(rest), next(rest), next(rest)) for _ in range(words[1])]
        writers = [
            Writer([_reference(next(rest)) for _ in range(count)], batch, cursor)
            for cursor, batch, count in shapes
        ]
        return Contents(writers, [Mapping(next(rest), next(rest)) for _ in range(words[2])])

    def begin(self, writers: Sequence[Writer], held: int) -> list[memoryview]:
        """Write who may map what from now on.

        Args:
            writers: their cursors stand at 0.
            held: the most mappings that `hold` will be told of.

        Returns:
            The cursor of each writer, 8 bytes that it writes to.
        """
        words = [_MAGIC, len(writers), 0]
        for writer in writers:
            words += [0, writer.batch, len(writer.references)]
        for writer in writers:
            words += [domid << 32 | gref for domid, gref, _ in writer.references]
        self._held_at = len(words)
        os.ftruncate(self._descriptor, 0)
        os.ftruncate(self._descriptor, 8 * (len(words) + 2 * held))
        self._map = mmap.mmap(self._descriptor, 0)
        struct.pack_into(f"<{len(words)}Q", self._map, 0, *words)
        view = memoryview(self._map)
        return [view[8 * at : 8 * at + 8] for at in range(3, 3 + 3 * len(writers), 3)]

    def hold(self, mappings: Sequence[Mapping]) -> None:
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


def _reference(word: int) -> Reference:
    return Reference(word >> 32, word & 0xFFFFFFFF, 0)


@contextmanager
def opened(path: Path = PATH) -> Iterator[Journal]:
    """Open and lock the journal.

    Args:
        path: its file; on a file system that a reboot empties, like the mappings.

    Raises:
        UnmetError: another run has it, or the file cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UnmetError(
            f"{path} cannot be opened: {error.strerror}", "run this as root"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnmetError(
                "another xengt is measuring on this host",
                "wait for it to end, or end it: pgrep -af xengt",
            ) from error
        yield Journal(descriptor)
    finally:
        os.close(descriptor)
