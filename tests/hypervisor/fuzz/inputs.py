"""Inputs of the fuzzer: as text for people, as bytes for it, and made up from seeds.

As text, an input is what the fuzzer writes of one with TRACE in its environment: a line for the
setting, then a line for each step, with comments. "40 x " before a step means it 40 times.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import cffi

HERE = Path(__file__).parent
HEADER = HERE.parent / "differ/differ.h"
FIELDS = 7  # of a step, besides what it does
#: those by hand, each for something that chance alone hardly reaches
TEXTS = sorted((HERE / "inputs").glob("*.txt"))


class Differ:
    """The library of the differential, for what it knows of steps."""

    def __init__(self, library: Path) -> None:
        self._ffi = cffi.FFI()
        text = re.sub(r"^#.*$", "", HEADER.read_text(), flags=re.MULTILINE)
        self._ffi.cdef("typedef struct _IO_FILE FILE;" + text)
        self._library = self._ffi.dlopen(str(library))
        self.names = [self._ffi.string(name).decode() for name in self._library.differ_names]

    def steps(self, seed: int, length: int) -> bytes:
        """The steps of a random world."""
        steps = self._ffi.new("struct step[]", length)
        self._library.differ_steps(seed, steps, length)
        return bytes(self._ffi.buffer(steps))

    def encode(self, text: str) -> bytes:
        """Turn text into what the fuzzer takes.

        Raises:
            ValueError: it is not such a text.
        """
        lines = [words for line in text.splitlines() if (words := line.partition("#")[0].split())]
        if not lines or lines[0][0] != "setting" or len(lines[0]) != 4:
            raise ValueError("an input begins with its setting")
        made = bytearray([sum(int(bit) << i for i, bit in enumerate(lines[0][1:]))])
        for words in lines[1:]:
            times, step = (int(words[0]), words[2:]) if words[1] == "x" else (1, words)
            name, *fields = step
            if name not in self.names or len(fields) != FIELDS:
                raise ValueError(f"not a step: {' '.join(words)}")
            made += bytes([self.names.index(name), *map(int, fields)]) * times
        return bytes(made)

    def inputs(self, worlds: int, length: int) -> Iterator[tuple[str, bytes]]:
        """Names and contents: those by hand, and random worlds, as many of each setting."""
        for path in TEXTS:
            yield path.stem, self.encode(path.read_text())
        for n in range(8 * worlds):
            yield f"seed-{n}", bytes([n % 8]) + self.steps(n, length)

    def write(self, into: Path, worlds: int, length: int) -> Path:
        """Write these inputs into a directory, for the fuzzer to begin with."""
        into.mkdir(exist_ok=True)
        for name, content in self.inputs(worlds, length):
            (into / name).write_bytes(content)
        return into
