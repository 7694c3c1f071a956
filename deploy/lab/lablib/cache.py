"""What was built once is kept under a name made of everything it was built from."""

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lablib.commands import as_root

KEPT = 3
"""Entries kept of a kind: the newest by use. A root is half a gigabyte."""

KEPT_SMALL = {"hypervisor": 24, "download": 8, "snapshot": 12}
"""Of kinds that come in numbers: a series has a hypervisor for each of its patches, and a source
two files."""

KEPT_BYTES = {"snapshot": 8 << 30}
"""Bytes on disk that the entries of a kind may take, the newest excepted."""

PRUNED = {"base": 0, "download": 8, "source": 2}
"""Entries that `lab build --prune` keeps, where it is not the newest alone: archives drop files,
there are sources of Xen and of Linux, and a version of a source is chosen anew."""


def key(parts: Iterable[bytes]) -> str:
    """Return a short name for exactly these bytes, in this order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:16]


def tree_parts(files: Iterable[Path], base: Path) -> Iterator[bytes]:
    """Yield what makes up a set of files: each one's name, execute bit and content."""
    for path in sorted(files):
        yield str(path.relative_to(base)).encode()
        yield b"x" if os.access(path, os.X_OK) else b"-"
        yield path.read_bytes()


class Cache:
    """Directories by kind and key, each complete or not there.

    Args:
        root: where they live; made when missing.
    """

    def __init__(self, root: Path) -> None:
        """Make the place for entries and logs."""
        self.root = root
        self.logs = root / "log"
        self.logs.mkdir(parents=True, exist_ok=True)

    def log(self, kind: str) -> Path:
        """Return the log file of one kind of entry."""
        return self.logs / f"{kind}.log"

    def entry(self, kind: str, name: str, make: Callable[[Path], None]) -> Path:
        """Return the entry, made first when it is not there.

        Args:
            kind: what it is: `dom0`, `hypervisor`…
            name: its key.
            make: fills the empty directory it is given, or raises.
        """
        path = self.root / kind / name
        if not path.is_dir():
            with self.locked(kind):
                if not path.is_dir():
                    self._make(path, make)
        self.touch(path)
        return path

    def touch(self, path: Path) -> None:
        """Note that an entry is used: those used longest ago are removed first."""
        os.utime(path)

    def _make(self, path: Path, make: Callable[[Path], None]) -> None:
        half = path.parent / f".half-{path.name}"
        self.log(path.parent.name).unlink(missing_ok=True)
        for left in path.parent.glob(".half-*"):  # of a build that was killed
            remove(left)
        half.mkdir(parents=True)
        try:
            make(half)
            half.rename(path)
        except BaseException:
            remove(half)
            raise
        self.prune(path.parent.name, KEPT_SMALL.get(path.parent.name, KEPT))

    @contextmanager
    def locked(self, kind: str) -> Iterator[None]:
        """Let one build of a kind run at a time."""
        (self.root / kind).mkdir(parents=True, exist_ok=True)
        with (self.root / f"{kind}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def kinds(self) -> list[str]:
        """Return the kinds that something was ever built of: each has its lock."""
        return sorted(path.stem for path in self.root.glob("*.lock"))

    def prune_all(self) -> None:
        """Remove all but the newest entries of each kind."""
        for kind in self.kinds():
            self.prune(kind, PRUNED.get(kind, 1))

    def prune(self, kind: str, kept: int) -> None:
        """Remove the entries of a kind that were used longest ago."""
        entries = [path for path in (self.root / kind).iterdir() if not path.name.startswith(".")]
        newest = sorted(entries, key=lambda p: p.stat().st_mtime, reverse=True)
        left = KEPT_BYTES.get(kind)
        for number, path in enumerate(newest):
            if left is not None:
                left -= _size(path)
            if number >= kept or (left is not None and left < 0 and number > 0):
                remove(path)


def _size(path: Path) -> int:
    """Return the bytes on disk of the files in a directory."""
    return sum(file.stat().st_blocks * 512 for file in path.iterdir())


def remove(path: Path) -> None:
    """Remove a directory whose files may be root's."""
    # A build that was killed may have left something mounted there.
    words = ["rm", "-rf", "--one-file-system", "--", str(path)]
    subprocess.run(words, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if path.exists():
        subprocess.run(as_root(words), check=False, stdin=subprocess.DEVNULL)
