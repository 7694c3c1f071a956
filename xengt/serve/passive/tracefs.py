"""What is written to tracefs so that the kernel times its grant calls, and how it is undone.

A probe at a function's beginning notes the time, one at its end makes an event
of how long that was, and a histogram of these events is all that is kept
(Documentation/trace/fprobetrace.rst and histogram.rst in Linux). The probes are
of fprobe: a kprobe misses a call that interrupts another probe, as netback's
softirq does; and one at the end knows the arguments since Linux 6.9.

Two ends belong together by the array of operations, `ops`, that no other call
has at the time. The table they meet in is of a fixed size, so its key is the
array's address modulo a prime, and who meets a stranger there is not counted.

gnttab_unmap_refs_async() makes its call itself or leaves it to a worker: then
who wanted it is told by the function to call when it is `done`.

Not seen is what does not go this way: the rings that xenbus maps for a device,
grants that are copied, and what user space does through privcmd.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from xengt.errors import FailedError, UnmetError

ROOT = Path("/sys/kernel/tracing")
#: of our instance and of our probes
GROUP = "xengt"
_SYNTHETIC = "synthetic"
OPERATIONS = ("map", "unmap")

_ASYNC = "__gnttab_unmap_refs_async"
_EVENTS = (
    f"f:{GROUP}/map_in gnttab_map_refs ops=$arg1:u64",
    f"f:{GROUP}/map_out gnttab_map_refs%return ops=$arg1:u64 refs=$arg4:u32",
    f"f:{GROUP}/unmap_in gnttab_unmap_refs ops=$arg1:u64",
    f"f:{GROUP}/unmap_out gnttab_unmap_refs%return ops=$arg1:u64 refs=$arg4:u32",
    f"f:{GROUP}/async gnttab_unmap_refs_async ops=item->unmap_ops:u64 done=item->done:u64",
    *(
        f"s:{GROUP}_{operation} unsigned long caller; u32 refs; u64 ns; u64 stranger"
        for operation in OPERATIONS
    ),
)
#: 1,021 slots, a prime: of pointers, which are multiples of 8; and as many as a table may have
_SLOT, _SIZE = "ops-ops/8168*8168", "size=1024:clock=mono"


def _begins(operation: str) -> tuple[str, str]:
    noted = f"{operation}_began=common_timestamp:{operation}_ops=ops"
    return f"{GROUP}/{operation}_in", f"hist:keys={_SLOT}:{noted}:{_SIZE}"


def _ends(operation: str, caller: str, way: str, condition: str = "") -> tuple[str, str]:
    """An end: who called, of how many references, for how long; variables are named by the way."""
    found = {
        f"{way}_caller": caller,
        f"{way}_refs": "refs",
        f"{way}_ns": f"common_timestamp-${operation}_began",
        f"{way}_stranger": f"ops-${operation}_ops",
    }
    noted = ":".join(f"{name}={value}" for name, value in found.items())
    told = ",".join(f"${name}" for name in found)
    event = f"onmatch({GROUP}.{operation}_in).{GROUP}_{operation}({told})"
    return f"{GROUP}/{operation}_out", f"hist:keys={_SLOT}:{noted}:{_SIZE}:{event}{condition}"


def _kept(operation: str) -> tuple[str, str]:
    return (
        f"{_SYNTHETIC}/{GROUP}_{operation}",
        "hist:keys=caller.sym,ns.log2:vals=hitcount,ns,refs:size=1024 if stranger == 0",
    )


#: event → what it sets off, in an order in which each finds what it needs
_TRIGGERS = (
    _kept("map"),
    _begins("map"),
    _ends("map", "__probe_ret_ip", "map"),
    _kept("unmap"),
    _begins("unmap"),
    (f"{GROUP}/async", f"hist:keys={_SLOT}:done=done:{_SIZE}"),
    _ends("unmap", "__probe_ret_ip", "unmap", f" if __probe_ret_ip.function != {_ASYNC}"),
    _ends("unmap", "$done", "async", f" if __probe_ret_ip.function == {_ASYNC}"),
)


def kept(operation: str) -> Path:
    """Return the kernel's histogram of an operation."""
    return _instance() / "events" / _SYNTHETIC / f"{GROUP}_{operation}" / "hist"


def begin() -> None:
    """Have the kernel time its grant calls.

    Raises:
        UnmetError: the kernel refuses something; what had been done before stays.
    """
    if not (ROOT / "dynamic_events").exists():
        raise UnmetError(
            f"tracefs is not mounted on {ROOT}", f"mount it: mount -t tracefs tracefs {ROOT}"
        )
    try:
        for event in _EVENTS:
            _write(ROOT / "dynamic_events", event)
        instance = _instance()
        instance.mkdir()
        # Nothing is recorded in it.
        _write(instance / "buffer_size_kb", "4")
        for event, trigger in _TRIGGERS:
            _write(instance / "events" / event / "trigger", trigger)
    except OSError as error:
        raise UnmetError(
            f"the kernel refuses to trace its grant calls: {error}",
            "it has to be Linux 6.9 or later with fprobe events and histogram triggers, not locked "
            f"down, and {ROOT} writable: {ROOT}/error_log may tell more",
        ) from error


def leftover_instances() -> list[str]:
    """Return what of ours is in tracefs, as it is named there; nothing where there is none."""
    instance = _instance()
    return [f"instances/{GROUP}"] * instance.exists() + [*_events()]


def undo() -> None:
    """Take back all that is ours, by whichever agent it was left.

    Raises:
        FailedError: something of it is in use, by someone who looks at it.
    """
    try:
        instance = _instance()
        if instance.exists():
            while lines := list(_triggers(instance)):
                _remove(lines)
            instance.rmdir()
        for event in reversed([*_events()]):
            _write(ROOT / "dynamic_events", f"-:{event}")
    except OSError as error:
        raise FailedError(
            f"what traces the kernel's grant calls cannot be taken back: {error}",
            f"see who has it open: fuser -v {_instance()}; the next `xengt serve` tries again",
        ) from error


def _instance() -> Path:
    return ROOT / "instances" / GROUP


def _events() -> Iterator[str]:
    try:
        lines = (ROOT / "dynamic_events").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        event = line.split()[0].partition(":")[2]
        if event.startswith((f"{GROUP}/", f"{_SYNTHETIC}/{GROUP}_")):
            yield event


def _triggers(instance: Path) -> Iterator[tuple[Path, str]]:
    """Yield what is set off in the instance: those at a function's end come before the others."""
    for group in (_SYNTHETIC, GROUP):
        for file in sorted((instance / "events" / group).glob("*/trigger"), reverse=True):
            for line in file.read_text().splitlines():
                if not line.startswith("#"):
                    yield file, line.removesuffix(" [active]")


def _remove(triggers: list[tuple[Path, str]]) -> None:
    """Remove those that no other one needs.

    Raises:
        OSError: there is none that can be removed.
    """
    refused: OSError | None = None
    removed = 0
    for file, line in triggers:
        try:
            _write(file, f"!{line}")
        except OSError as error:
            refused = error
        else:
            removed += 1
    if refused and not removed:
        raise refused


def _write(path: Path, text: str) -> None:
    """Write a line; never with O_TRUNC, which has the kernel forget what others have written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(descriptor, f"{text}\n".encode())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: {text}", str(path)) from error
    finally:
        os.close(descriptor)
