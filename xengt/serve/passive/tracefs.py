"""The trace objects, one instance and several events, by which the kernel times its grant calls.

A probe at the beginning of a function records the time. A probe at its end triggers an event
with the duration, and the kernel keeps only a histogram of these events
(Documentation/trace/fprobetrace.rst and histogram.rst in Linux). The probes are fprobes: a
kprobe misses a call that interrupts another probe, as netback's softirq does. A probe at the
end of a function can read the arguments since Linux 6.9.

The beginning and the end of a call are matched by the address of `ops`, its array of
operations, which no other call uses at the same time. The table that matches them has a fixed
size, so its key is the address modulo 8,168; calls that meet another call's entry there are
not counted.

gnttab_unmap_refs_async() calls gnttab_unmap_refs() itself or leaves that to a worker. The caller
of such a call is identified by its completion function `done`.

Not covered: ring pages that xenbus maps for a device, grant copies, and mappings made by user
space through privcmd.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from xengt.errors import FailedError, UnmetError

ROOT = Path("/sys/kernel/tracing")
#: name of the instance, and group of the probes
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
#: modulo 8,168: 8 times the prime 1,021, as pointers are multiples of 8; the table has 1,024
#: entries
_SLOT, _SIZE = "ops-ops/8168*8168", "size=1024:clock=mono"


def _entry_trigger(operation: str) -> tuple[str, str]:
    """Return the trigger at the beginning of a function, which records time and `ops`."""
    variables = f"{operation}_began=common_timestamp:{operation}_ops=ops"
    return f"{GROUP}/{operation}_in", f"hist:keys={_SLOT}:{variables}:{_SIZE}"


def _return_trigger(
    operation: str, caller: str, prefix: str, condition: str = ""
) -> tuple[str, str]:
    """Return the trigger at the end of a function, which generates the synthetic event.

    Args:
        operation: `map` or `unmap`.
        caller: field or variable with the caller's address.
        prefix: of the variables, whose names must be unique in the instance.
        condition: of the trigger.
    """
    values = {
        f"{prefix}_caller": caller,
        f"{prefix}_refs": "refs",
        f"{prefix}_ns": f"common_timestamp-${operation}_began",
        f"{prefix}_stranger": f"ops-${operation}_ops",
    }
    variables = ":".join(f"{name}={value}" for name, value in values.items())
    arguments = ",".join(f"${name}" for name in values)
    event = f"onmatch({GROUP}.{operation}_in).{GROUP}_{operation}({arguments})"
    return f"{GROUP}/{operation}_out", f"hist:keys={_SLOT}:{variables}:{_SIZE}:{event}{condition}"


def _histogram_trigger(operation: str) -> tuple[str, str]:
    """Return the trigger of the synthetic event, which fills the histogram."""
    return (
        f"{_SYNTHETIC}/{GROUP}_{operation}",
        "hist:keys=caller.sym,ns.log2:vals=hitcount,ns,refs:size=1024 if stranger == 0",
    )


#: event and trigger, in an order in which each trigger's variables are defined before it
_TRIGGERS = (
    _histogram_trigger("map"),
    _entry_trigger("map"),
    _return_trigger("map", "__probe_ret_ip", "map"),
    _histogram_trigger("unmap"),
    _entry_trigger("unmap"),
    (f"{GROUP}/async", f"hist:keys={_SLOT}:done=done:{_SIZE}"),
    _return_trigger("unmap", "__probe_ret_ip", "unmap", f" if __probe_ret_ip.function != {_ASYNC}"),
    _return_trigger("unmap", "$done", "async", f" if __probe_ret_ip.function == {_ASYNC}"),
)


def histogram_file(operation: str) -> Path:
    """Return the path of the kernel's histogram of an operation."""
    return _instance() / "events" / _SYNTHETIC / f"{GROUP}_{operation}" / "hist"


def install() -> None:
    """Create the trace objects: the kernel then times its grant calls.

    Raises:
        UnmetError: tracefs is not mounted, or the kernel rejects a trace object; those created
            before remain.
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
        # The smallest size: no event is recorded in the buffer.
        _write(instance / "buffer_size_kb", "4")
        for event, trigger in _TRIGGERS:
            _write(instance / "events" / event / "trigger", trigger)
    except OSError as error:
        raise UnmetError(
            f"the kernel rejects the tracing of its grant calls: {error}",
            "use Linux 6.9 or later with fprobe events and histogram triggers, not locked down, "
            f"and make {ROOT} writable; {ROOT}/error_log may have details",
        ) from error


def trace_objects() -> list[str]:
    """Return the names in tracefs of xengt's instance and events; empty without tracefs."""
    instance = _instance()
    return [f"instances/{GROUP}"] * instance.exists() + [*_events()]


def remove() -> None:
    """Remove xengt's trace objects, whichever agent created them.

    Raises:
        FailedError: a trace object cannot be removed, for example because a process has one of
            its files open.
    """
    try:
        instance = _instance()
        if instance.exists():
            while triggers := list(_triggers(instance)):
                _remove_triggers(triggers)
            instance.rmdir()
        for event in reversed([*_events()]):
            _write(ROOT / "dynamic_events", f"-:{event}")
    except OSError as error:
        raise FailedError(
            f"cannot remove the tracing of the kernel's grant calls: {error}",
            f"find the process that has it open: fuser -v {_instance()}; the next `xengt serve` "
            "tries again",
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
    """Yield file and text of each trigger in the instance, those at a function's end first."""
    for group in (_SYNTHETIC, GROUP):
        for file in sorted((instance / "events" / group).glob("*/trigger"), reverse=True):
            for line in file.read_text().splitlines():
                if not line.startswith("#"):
                    yield file, line.removesuffix(" [active]")


def _remove_triggers(triggers: list[tuple[Path, str]]) -> None:
    """Remove the triggers whose variables no other trigger uses.

    Raises:
        OSError: none of them can be removed.
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
    """Write a line, without O_TRUNC, by which the kernel would remove everybody's events."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(descriptor, f"{text}\n".encode())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: {text}", str(path)) from error
    finally:
        os.close(descriptor)
