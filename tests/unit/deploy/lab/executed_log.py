"""A log of executed instructions, as QEMU writes it."""

from pathlib import Path


def write_log(addresses, file: Path) -> Path:
    file.write_text(
        "".join(f"Trace 0: 0x7f80d3259d40 [0000000000000000/{a:016x}/0050c2b0/ff]\n"
                for a in addresses)
    )  # fmt: skip
    return file
