"""Inputs of the fuzzer: their text form, their binary form, and random ones.

The text form is what the fuzzer writes with TRACE in its environment: a line with the setting, then
a line for each step, and comments. "40 x " before a step repeats it 40 times.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import cffi

HERE = Path(__file__).parent
HEADER = HERE.parent / "differential/differential.h"
FIELDS = 7  # of a step, besides its kind
#: handwritten inputs, each for a state that random steps rarely reach
TEXTS = sorted((HERE / "inputs").glob("*.txt"))


class StepCodec:
    """Encodes and generates steps with the library of the differential test."""

    def __init__(self, library: Path) -> None:
        self._ffi = cffi.FFI()
        text = re.sub(r"^#.*$", "", HEADER.read_text(), flags=re.MULTILINE)
        self._ffi.cdef("typedef struct _IO_FILE FILE;" + text)
        self._library = self._ffi.dlopen(str(library))
        self.names = [self._ffi.string(name).decode() for name in self._library.differ_names]

    def steps(self, seed: int, length: int) -> bytes:
        """Return the random steps of a world in binary form."""
        steps = self._ffi.new("struct step[]", length)
        self._library.differ_steps(seed, steps, length)
        return bytes(self._ffi.buffer(steps))

    def encode(self, text: str) -> bytes:
        """Convert an input from text to binary form.

        Raises:
            ValueError: the text is not a valid input.
        """
        lines = [words for line in text.splitlines() if (words := line.partition("#")[0].split())]
        if not lines or lines[0][0] != "setting" or len(lines[0]) != 5:
            raise ValueError("the first line must be: setting TRANSLATED IOMMU FAST FLUSH")
        encoded = bytearray([sum(int(field) << i for i, field in enumerate(lines[0][1:]))])
        for words in lines[1:]:
            times, step = (int(words[0]), words[2:]) if words[1] == "x" else (1, words)
            name, *fields = step
            if name not in self.names or len(fields) != FIELDS:
                raise ValueError(f"invalid step: {' '.join(words)}")
            encoded += bytes([self.names.index(name), *map(int, fields)]) * times
        return bytes(encoded)

    def inputs(self, worlds: int, length: int) -> Iterator[tuple[str, bytes]]:
        """Yield (name, content) of handwritten inputs and of `worlds` random ones per setting."""
        for path in TEXTS:
            yield path.stem, self.encode(path.read_text())
        for n in range(8 * worlds):
            yield f"seed-{n}", bytes([n % 8]) + self.steps(n, length)

    def write(self, into: Path, worlds: int, length: int) -> Path:
        """Write these inputs into a directory as the initial corpus; return it."""
        into.mkdir(exist_ok=True)
        for name, content in self.inputs(worlds, length):
            (into / name).write_bytes(content)
        return into
