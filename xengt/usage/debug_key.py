"""Reads who maps which reference from Xen's console, where debug key g prints all grant tables.

Stock Xen reports the sizes of maptrack tables and the references in use nowhere else. The ring
of the console has 16 KiB by default, and the end of the output overwrites its beginning: what is
not in the ring any more is reported as missing.
"""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xengt.errors import FailedError, UnmetError
from xengt.sharing.references import format_grefs
from xengt.usage.document import MappedBy
from xengt.xen import command_line
from xenlib_cffi.ctrl import Ctrl

KEY = "g"
#: seconds; Xen prints before the call that sends the key returns
TIMEOUT_S = 10.0
_POLL_INTERVAL_S = 0.1

# Lines of gnttab_usage_print_all() and gnttab_usage_print() in Xen's common/grant_table.c. Only
# Xen prints lines with this prefix; console_timestamps= adds a time in brackets.
_LINE = re.compile(r"\(XEN\) (?:\[(?!0x|ref\])[^]]*\] ?)?(.*)")
_START = "gnttab_usage_print_all [ key"
_END = "gnttab_usage_print_all ] done"
_COLUMNS = "-------- active --------"
_DOMAIN = re.compile(r"grant-table for remote d(\d+)\b")
_SIZES = re.compile(r" *(\d+) frames \((\d+) max\), (\d+) maptrack frames \((\d+) max\)")
_ENTRY = re.compile(
    r"\[0x([0-9a-f]+)\] +(\d+) 0x[0-9a-f]+ 0x([0-9a-f]{8}) +\d+ 0x[0-9a-f]+ 0x[0-9a-f]+"
)


@dataclass(slots=True)
class PrintedTable:
    """The grant table of a domain as Xen printed it.

    Attributes:
        maptrack_frames: size of the domain's maptrack table in 4 KiB frames.
        max_maptrack_frames: maximum size of its maptrack table in 4 KiB frames.
        entries: the reference, the mapper's domid and the pin counters of each entry in use.
        complete: whether all entries in use could be read.
    """

    maptrack_frames: int
    max_maptrack_frames: int
    entries: list[tuple[int, int, int]] = field(default_factory=list)
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Printed:
    """The part of the output that was in the console ring.

    Attributes:
        tables: the tables whose beginning is in the ring, by domid.
        from_start: whether the beginning of the output is in the ring.
    """

    tables: Mapping[int, PrintedTable]
    from_start: bool


def require_fast_console(commandline: str) -> None:
    """Check that printing cannot take so long that Xen's watchdog panics the host.

    Args:
        commandline: Xen's command line.

    Raises:
        UnmetError: Xen has a watchdog and prints on a serial port, for which it waits.
    """
    if command_line.is_enabled(commandline, "watchdog") and command_line.has_serial_console(
        commandline
    ):
        raise UnmetError(
            "--from-console is not safe on this host: Xen waits for its serial port while it "
            "prints the grant tables, and its watchdog panics the host if that takes 5 seconds",
            "boot Xen without watchdog or without a serial console (com1=), "
            "or run `xengt usage` without --from-console",
        )


def print_tables(xen: Ctrl, timeout_s: float = TIMEOUT_S) -> Printed:
    """Have Xen print all grant tables, and read them (`xc_send_debug_keys`, `xc_readconsolering`).

    Args:
        xen: an open handle of libxenctrl.
        timeout_s: how long to wait for the end of the output, in seconds.

    Raises:
        FailedError: the end of the output does not appear in the console ring.
        XenLibraryError: Xen rejects a call.
    """
    position = xen.console_from(None).end  # skips what is in the ring already
    xen.send_debug_keys(KEY)
    deadline = time.monotonic() + timeout_s
    output = ""
    while _END not in output:
        part = xen.console_from(position)
        position = part.end
        output += part.text.decode(errors="replace")
        if not part.text:
            if time.monotonic() > deadline:
                raise FailedError(
                    f"the output of Xen's debug key {KEY} does not end in its console ring",
                    "repeat the command; see `xl dmesg` for what else prints so much",
                )
            time.sleep(_POLL_INTERVAL_S)
    return parse(output)


def parse(output: str) -> Printed:
    """Parse the output of debug key g, whose beginning may be missing.

    Args:
        output: text of the console ring up to the end of the output.
    """
    tables: dict[int, PrintedTable] = {}
    table: PrintedTable | None = None
    domid, intact, from_start = -1, True, False
    for line in output.splitlines():
        found = _LINE.fullmatch(line)
        text = found[1] if found else line
        if found and text.startswith(_START):
            tables, table, from_start = {}, None, True
        elif found and (text.startswith(_END) or _COLUMNS in text):
            if table is not None:
                table.complete = intact
            table = None
            if text.startswith(_END):
                break
        elif found and (header := _DOMAIN.match(text)):
            domid = int(header[1])
        elif found and (sizes := _SIZES.fullmatch(text)) and domid >= 0:
            table = tables[domid] = PrintedTable(int(sizes[3]), int(sizes[4]))
            domid, intact = -1, True
        elif found and (entry := _ENTRY.fullmatch(text)) and table is not None:
            table.entries.append((int(entry[1], 16), int(entry[2]), int(entry[3], 16)))
        elif "[0x" in text:
            intact = False  # another CPU has printed in the middle of an entry
    return Printed(tables, from_start)


def mapped_by(entries: Iterable[tuple[int, int, int]]) -> tuple[MappedBy, ...]:
    """Summarise the entries in use of a table by the domain that maps them.

    Args:
        entries: as in `PrintedTable`.
    """
    by_mapper: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for gref, mapper, pins in entries:
        by_mapper[mapper].append((gref, pins))
    return tuple(
        MappedBy(
            domid=mapper,
            references=len(uses),
            grefs=format_grefs([gref for gref, _ in uses]),
            # GNTPIN_* of common/grant_table.c: 8 bits for each kind of mapping
            **{
                kind: sum(pins >> shift & 0xFF for _, pins in uses)
                for kind, shift in _PIN_SHIFTS.items()
            },
        )
        for mapper, uses in sorted(by_mapper.items())
    )


_PIN_SHIFTS = {"host_writable": 0, "host_readonly": 8, "device_writable": 16, "device_readonly": 24}
