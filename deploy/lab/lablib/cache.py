"""The cache of downloads and builds: each entry is named after a hash of its inputs."""

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lablib.build_process import as_root

MAX_ENTRIES = 3
"""Number of entries of a kind; the least recently used are removed. A Debian root takes half a
gigabyte."""

MAX_ENTRIES_BY_KIND = {"hypervisor": 36, "userspace": 64, "download": 8, "snapshot": 12}
"""Kinds with another limit: there is a hypervisor, and a copy of its files for user space, for each
patch of the series; a source has two files."""

MAX_BYTES_BY_KIND = {"snapshot": 8 << 30}
"""Bytes on disk that the entries of a kind may take; the newest entry is always kept."""

ENTRIES_AFTER_PRUNE = {"base": 0, "download": 8, "source": 2}
"""Kinds of which `lab build --prune` does not keep exactly one entry. base: the version of a source
is selected again. download: archives remove files. source: of Xen and of Linux."""


def key(parts: Iterable[bytes]) -> str:
    """Return a hash of a sequence of byte strings, as 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:16]


def tree_parts(files: Iterable[Path], base: Path) -> Iterator[bytes]:
    """Yield the name, the execute bit and the content of each file, for `key`.

    Args:
        files: paths below `base`.
        base: the directory that names are relative to.
    """
    for path in sorted(files):
        yield str(path.relative_to(base)).encode()
        yield b"x" if os.access(path, os.X_OK) else b"-"
        yield path.read_bytes()


class Cache:
    """Directories (entries) by kind and key; an entry is complete or does not exist.

    Args:
        root: the directory of the cache; made if missing.
    """

    def __init__(self, root: Path) -> None:
        """Make the directory of the logs."""
        self.root = root
        self.logs = root / "log"
        self.logs.mkdir(parents=True, exist_ok=True)

    def log(self, kind: str) -> Path:
        """Return the log file for builds of a kind."""
        return self.logs / f"{kind}.log"

    def entry(self, kind: str, name: str, make: Callable[[Path], None]) -> Path:
        """Return the directory of an entry; make it if it does not exist.

        Args:
            kind: of the entry, such as `dom0` or `hypervisor`.
            name: its key.
            make: fills an empty directory; an exception leaves no entry.
        """
        path = self.root / kind / name
        if not path.is_dir():
            with self.locked(kind):
                if not path.is_dir():
                    self._make(path, make)
        self.touch(path)
        return path

    def touch(self, path: Path) -> None:
        """Mark an entry as used; the least recently used entries are removed first."""
        os.utime(path)

    def _make(self, path: Path, make: Callable[[Path], None]) -> None:
        unfinished = path.parent / f".half-{path.name}"
        self.log(path.parent.name).unlink(missing_ok=True)
        for abandoned in path.parent.glob(".half-*"):  # of a build that was killed
            remove(abandoned)
        unfinished.mkdir(parents=True)
        try:
            make(unfinished)
            unfinished.rename(path)
        except BaseException:
            remove(unfinished)
            raise
        self.prune(path.parent.name, MAX_ENTRIES_BY_KIND.get(path.parent.name, MAX_ENTRIES))

    @contextmanager
    def locked(self, kind: str) -> Iterator[None]:
        """Hold the lock of a kind: only one build of a kind runs at a time."""
        (self.root / kind).mkdir(parents=True, exist_ok=True)
        with (self.root / f"{kind}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def kinds(self) -> list[str]:
        """Return the kinds of entries ever made: each has a lock file."""
        return sorted(path.stem for path in self.root.glob("*.lock"))

    def prune_all(self) -> None:
        """Remove all but the most recently used entries of each kind: see ENTRIES_AFTER_PRUNE."""
        for kind in self.kinds():
            self.prune(kind, ENTRIES_AFTER_PRUNE.get(kind, 1))

    def prune(self, kind: str, maximum: int) -> None:
        """Remove the least recently used entries of a kind.

        Args:
            kind: of the entries.
            maximum: number of entries to keep; MAX_BYTES_BY_KIND may remove more.
        """
        entries = [path for path in (self.root / kind).iterdir() if not path.name.startswith(".")]
        newest = sorted(entries, key=lambda p: p.stat().st_mtime, reverse=True)
        available = MAX_BYTES_BY_KIND.get(kind)
        for number, path in enumerate(newest):
            if available is not None:
                available -= _size(path)
            if number >= maximum or (available is not None and available < 0 and number > 0):
                remove(path)


def _size(path: Path) -> int:
    """Return the bytes on disk of the files in a directory, without its subdirectories."""
    return sum(file.stat().st_blocks * 512 for file in path.iterdir())


def remove(path: Path) -> None:
    """Remove a directory that may contain files of root."""
    # --one-file-system: a killed build may have left a mount.
    words = ["rm", "-rf", "--one-file-system", "--", str(path)]
    subprocess.run(words, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if path.exists():
        subprocess.run(as_root(words), check=False, stdin=subprocess.DEVNULL)
