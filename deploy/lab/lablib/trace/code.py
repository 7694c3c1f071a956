"""What is at an address of the hypervisor: function, source line, instruction."""

import bisect
import operator
import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lablib.errors import EXIT_USAGE, LabError

#: `address:<tab>mnemonic operands`, of objdump -d --no-show-raw-insn
LINE = re.compile(r"^\s*([0-9a-f]+):\t(.+?)\s*$")
#: what part of a running hypervisor's code is as it was linked, at least; of another build of
#: the same source it is a tenth
ALIKE = 0.9
FENCES = ("lfence", "mfence", "sfence")


@dataclass(frozen=True)
class Instruction:
    """One instruction as it stands in memory.

    Attributes:
        address: its own.
        text: as objdump writes it, prefixes included.
    """

    address: int
    text: str

    @property
    def locked(self) -> bool:
        """Whether it is an atomic access to memory; xchg is one without saying so."""
        words = self.text.split()
        return "lock" in words[:2] or (words[0].startswith("xchg") and "(" in self.text)

    @property
    def fence(self) -> str | None:
        """Its name when it is a fence."""
        name = self.text.split()[0]
        return name if name in FENCES else None

    @property
    def calls(self) -> bool:
        """Whether it is a call."""
        return "call" in self.text.split()[:2] or self.text.startswith("call")

    @property
    def returns(self) -> bool:
        """Whether it is a return."""
        return bool(re.match(r"((repz? |bnd )*ret|jmp .*<__x86_return_thunk>)", self.text))


@dataclass(frozen=True)
class Place:
    """A function in the source, with where in it something stands.

    Attributes:
        function: inlined or not.
        file: as the compiler was given it, without directories above the hypervisor's.
        line: from 1.
    """

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        """Write it as in a stack trace."""
        return f"{self.function} {self.file}:{self.line}"


def tool(*words: str | Path, given: str = "") -> str:
    """Run one of binutils.

    Raises:
        LabError: it is not there, or refuses the file.
    """
    command = [str(word) for word in words]
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LabError(
            f"{command[0]} cannot be started: {error.strerror}",
            "apt install binutils",
            exit_code=EXIT_USAGE,
        ) from error
    if done.returncode:
        raise LabError(
            f"{command[0]} cannot read {command[-1]}: {done.stderr.strip()}",
            "give the xen-syms that was linked with the hypervisor",
            exit_code=EXIT_USAGE,
        )
    return done.stdout


class Code:
    """A hypervisor's xen-syms.

    Args:
        symbols: the file, an ELF with debug information.
        text: the .text section as it is in a running machine: alternatives are in place there
            that the file does not have. None takes the file's.
    """

    def __init__(self, symbols: Path, text: Path | None = None) -> None:
        """Read the names; the rest is read when asked for."""
        self._symbols = symbols
        self._text = text
        self._names: list[tuple[int, str]] = []
        for line in tool("nm", "-n", symbols).splitlines():
            address, _, rest = line.partition(" ")
            kind, _, name = rest.partition(" ")
            if kind in ("t", "T"):
                self._names.append((int(address, 16), name))
        self._starts = [address for address, _ in self._names]
        self._places: dict[int, tuple[Place, ...]] = {}

    @cached_property
    def section(self) -> tuple[int, int]:
        """Address and size of .text."""
        for line in tool("objdump", "-h", "-j", ".text", self._symbols).splitlines():
            words = line.split()
            if words[1:2] == [".text"]:
                return int(words[3], 16), int(words[2], 16)
        raise LabError(f"{self._symbols} has no .text", "give a xen-syms", exit_code=EXIT_USAGE)

    def start(self, name: str) -> int:
        """Return where a function begins.

        Raises:
            LabError: there is none of this name.
        """
        for address, known in self._names:
            if known == name:
                return address
        raise LabError(f"{self._symbols} has no function {name}", exit_code=EXIT_USAGE)

    def function(self, address: int) -> str:
        """Return the symbol an address is in; what was inlined counts as part of it."""
        start, size = self.section
        if not start <= address < start + size:
            return "(stub)"
        return self._names[bisect.bisect_right(self._starts, address) - 1][1]

    @cached_property
    def instructions(self) -> dict[int, Instruction]:
        """Every instruction of .text, by address."""
        with tempfile.TemporaryDirectory() as place:
            source = self._symbols
            if self._text is not None:
                source = Path(place) / "xen-syms"
                update = f".text={self._text}"
                tool("objcopy", "--update-section", update, self._symbols, source)
            said = tool("objdump", "-d", "-j", ".text", "--no-show-raw-insn", source)
        found = (LINE.match(line) for line in said.splitlines())
        made = (Instruction(int(match[1], 16), match[2]) for match in found if match)
        return {each.address: each for each in made}

    def compare(self, text: bytes) -> None:
        """See that .text in memory is this one, but for what is replaced during a boot.

        Raises:
            LabError: it is not.
        """
        with tempfile.TemporaryDirectory() as place:
            linked = Path(place) / "text"
            tool("objcopy", "-O", "binary", "-j", ".text", self._symbols, linked)
            same = sum(map(operator.eq, linked.read_bytes(), text))
        if same < ALIKE * len(text):
            raise LabError(
                f"{self._symbols} is not of the hypervisor that runs: {same / len(text):.0%} of"
                " its code are the same",
                "give the xen-syms that was linked with it (--syms)",
                exit_code=EXIT_USAGE,
            )

    def places(self, addresses: Iterable[int]) -> dict[int, tuple[Place, ...]]:
        """Return where in the source each address is: inlined functions from the inside out."""
        wanted = sorted(set(addresses) - self._places.keys())
        if wanted:
            given = "".join(f"{address:#x}\n" for address in wanted)
            said = tool("addr2line", "-afi", "-e", self._symbols, given=given)
            self._places |= _parse_places(said)
        return {address: self._places[address] for address in addresses}


def _parse_places(said: str) -> dict[int, tuple[Place, ...]]:
    places: dict[int, tuple[Place, ...]] = {}
    lines = iter(said.splitlines())
    address = 0
    for line in lines:
        if line.startswith("0x"):
            address = int(line, 16)
            places[address] = ()
            continue
        where = re.sub(r" \(discriminator \d+\)$", "", next(lines))
        file, _, number = where.rpartition(":")
        file = re.sub(r"^(.*/xen/xen/|\./)", "", file)
        places[address] += (Place(line, file, int(number) if number.isdigit() else 0),)
    return places
