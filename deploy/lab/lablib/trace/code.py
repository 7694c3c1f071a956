"""The hypervisor's code by address: function, source line and instruction, from its xen-syms."""

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

#: a line of objdump -d --no-show-raw-insn: `address:<tab>mnemonic operands`
DISASSEMBLY = re.compile(r"^\s*([0-9a-f]+):\t(.+?)\s*$")
#: the least share of bytes in which .text in memory equals the linked .text; the rest are
#: alternatives. Another build of the same source has a share of about 0.1.
MIN_EQUAL = 0.9
FENCES = ("lfence", "mfence", "sfence")


@dataclass(frozen=True)
class Instruction:
    """One instruction in memory.

    Attributes:
        address: its virtual address.
        text: its disassembly by objdump, with prefixes.
    """

    address: int
    text: str

    @property
    def locked(self) -> bool:
        """Return whether it is an atomic memory access: a lock prefix, or xchg with memory."""
        words = self.text.split()
        return "lock" in words[:2] or (words[0].startswith("xchg") and "(" in self.text)

    @property
    def fence(self) -> str | None:
        """Return the mnemonic of a fence; None for any other instruction."""
        name = self.text.split()[0]
        return name if name in FENCES else None

    @property
    def calls(self) -> bool:
        """Return whether it is a call."""
        return "call" in self.text.split()[:2] or self.text.startswith("call")

    @property
    def returns(self) -> bool:
        """Return whether it is a return, or a jump to the return thunk."""
        return bool(re.match(r"((repz? |bnd )*ret|jmp .*<__x86_return_thunk>)", self.text))


@dataclass(frozen=True)
class SourceLine:
    """A line of the source.

    Attributes:
        function: the function that contains it, inlined or not.
        file: its file, relative to the hypervisor's directory.
        line: the line number, from 1; 0 if unknown.
    """

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        """Return `FUNCTION FILE:LINE`."""
        return f"{self.function} {self.file}:{self.line}"


def run_tool(*words: str | Path, stdin: str = "") -> str:
    """Run a program of binutils and return its output.

    Raises:
        LabError: the program is not installed, or rejects the file.
    """
    command = [str(word) for word in words]
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LabError(
            f"{command[0]} cannot be started: {error.strerror}",
            "apt install binutils",
            exit_code=EXIT_USAGE,
        ) from error
    if done.returncode:
        raise LabError(
            f"{command[0]} cannot read {command[-1]}: {done.stderr.strip()}",
            "specify the xen-syms of the hypervisor with --syms FILE",
            exit_code=EXIT_USAGE,
        )
    return done.stdout


class Code:
    """The code of a hypervisor.

    Args:
        symbols: its xen-syms, an ELF file with debug information.
        text: the .text section in the memory of the running machine, where alternatives have been
            applied; None: the .text section of xen-syms.
    """

    def __init__(self, symbols: Path, text: Path | None = None) -> None:
        """Read the symbol table; the disassembly is read on first use."""
        self._symbols = symbols
        self._text = text
        self._functions: list[tuple[int, str]] = []
        for line in run_tool("nm", "-n", symbols).splitlines():
            address, _, rest = line.partition(" ")
            kind, _, name = rest.partition(" ")
            if kind in ("t", "T"):
                self._functions.append((int(address, 16), name))
        self._starts = [address for address, _ in self._functions]
        self._source_lines: dict[int, tuple[SourceLine, ...]] = {}

    @cached_property
    def section(self) -> tuple[int, int]:
        """The address and size in bytes of .text."""
        for line in run_tool("objdump", "-h", "-j", ".text", self._symbols).splitlines():
            words = line.split()
            if words[1:2] == [".text"]:
                return int(words[3], 16), int(words[2], 16)
        raise LabError(
            f"{self._symbols} has no .text section",
            "specify the xen-syms of the hypervisor with --syms FILE",
            exit_code=EXIT_USAGE,
        )

    def start(self, name: str) -> int:
        """Return the address of a function.

        Raises:
            LabError: there is no function of this name.
        """
        for address, function in self._functions:
            if function == name:
                return address
        raise LabError(
            f"{self._symbols} has no function {name}",
            "specify the xen-syms of the hypervisor with --syms FILE",
            exit_code=EXIT_USAGE,
        )

    def starts(self, names: Iterable[str]) -> list[int]:
        """Return the addresses of those functions that exist."""
        return [address for address, function in self._functions if function in names]

    def function(self, address: int) -> str:
        """Return the symbol that contains an address; inlined code belongs to its caller."""
        start, size = self.section
        if not start <= address < start + size:
            return "(stub)"
        return self._functions[bisect.bisect_right(self._starts, address) - 1][1]

    @cached_property
    def instructions(self) -> dict[int, Instruction]:
        """The instructions of .text by address."""
        with tempfile.TemporaryDirectory() as directory:
            source = self._symbols
            if self._text is not None:
                source = Path(directory) / "xen-syms"
                update = f".text={self._text}"
                run_tool("objcopy", "--update-section", update, self._symbols, source)
            listing = run_tool("objdump", "-d", "-j", ".text", "--no-show-raw-insn", source)
        matches = (DISASSEMBLY.match(line) for line in listing.splitlines())
        instructions = (Instruction(int(match[1], 16), match[2]) for match in matches if match)
        return {instruction.address: instruction for instruction in instructions}

    def compare(self, text: bytes) -> None:
        """Check that .text in memory is this code, apart from the alternatives applied at boot.

        Raises:
            LabError: it is the code of another build.
        """
        with tempfile.TemporaryDirectory() as directory:
            linked = Path(directory) / "text"
            run_tool("objcopy", "-O", "binary", "-j", ".text", self._symbols, linked)
            equal = sum(map(operator.eq, linked.read_bytes(), text))
        if equal < MIN_EQUAL * len(text):
            raise LabError(
                f"{self._symbols} does not belong to the running hypervisor: only"
                f" {equal / len(text):.0%} of the bytes of their code are equal",
                "specify the xen-syms of the hypervisor with --syms FILE",
                exit_code=EXIT_USAGE,
            )

    def source_lines(self, addresses: Iterable[int]) -> dict[int, tuple[SourceLine, ...]]:
        """Return the source lines of each address: of several, inlined functions, innermost first.

        Args:
            addresses: of instructions in .text.
        """
        unknown = sorted(set(addresses) - self._source_lines.keys())
        if unknown:
            stdin = "".join(f"{address:#x}\n" for address in unknown)
            output = run_tool("addr2line", "-afi", "-e", self._symbols, stdin=stdin)
            self._source_lines |= _parse_source_lines(output)
        return {address: self._source_lines[address] for address in addresses}


def _parse_source_lines(output: str) -> dict[int, tuple[SourceLine, ...]]:
    """Parse the output of `addr2line -afi`: an address, then a function and a line for each."""
    found: dict[int, tuple[SourceLine, ...]] = {}
    lines = iter(output.splitlines())
    address = 0
    for line in lines:
        if line.startswith("0x"):
            address = int(line, 16)
            found[address] = ()
            continue
        position = re.sub(r" \(discriminator \d+\)$", "", next(lines))
        file, _, number = position.rpartition(":")
        file = re.sub(r"^(.*/xen/xen/|\./)", "", file)
        found[address] += (SourceLine(line, file, int(number) if number.isdigit() else 0),)
    return found
