"""A suite that was interrupted: a file has the results so far, and the next run goes on."""

import os
from pathlib import Path

from xengt.bench.dimension import value_text
from xengt.bench.document import BenchDocument, read
from xengt.bench.suite import SuitePlan
from xengt.documents.write import STANDARD_OUTPUT
from xengt.errors import UnmetError
from xengt.xen.host import Host

_NO_DISKS = ("/dev/", "/proc/")
_NOT_COMPARED = ("left_out", "suite")
"""Keys of the plan that describe how far a suite is, and why engines are left out."""
_REMEDIES = {
    "engine": "make the same engines usable again (`xengt check` reports what is missing)",
    "threads": "give dom0 as many vCPUs as before",
    # It depends on the number of setups, and that on how many pages the engine copy can allocate.
    "duration_s": "repeat the command with the same --duration and the same limit of gntalloc",
}


def partial_file(target: str | None) -> Path | None:
    """Return the file for the results so far: beside the file of the document.

    Args:
        target: the value of `--json`.

    Returns:
        None if the document goes to no regular file.
    """
    if target is None or target == STANDARD_OUTPUT:
        return None
    path = os.path.realpath(target)
    if path.startswith(_NO_DISKS):
        return None
    return Path(f"{path}.partial")


def forget_partial(target: str | None) -> None:
    """Remove the results so far, once the document is written.

    Args:
        target: the value of `--json`.
    """
    if path := partial_file(target):
        path.unlink(missing_ok=True)


def find_incomplete(path: Path, plan: SuitePlan, host: Host) -> BenchDocument | None:
    """Return the document that an interrupted run of the same suite has left in a file.

    Args:
        path: the file that the run was writing.
        plan: the suite that is to be measured.
        host: the facts of the running host.

    Returns:
        None if there is no such file, or if it cannot be read.

    Raises:
        UnmetError: the file has a suite of another boot, or of another plan.
    """
    try:
        found = read(str(path))
    except UnmetError:
        return None
    restart = f"delete {path} to start again"
    if found.host["boot_id"] != host["boot_id"]:
        raise UnmetError(
            f"{path} was started in an earlier boot and cannot be continued, because results of "
            "different boots must not be mixed",
            f"{restart}, or name another file with --json=FILE",
        )
    # The granter decides which engines a suite has.
    for name, value in sorted(plan.to_json().items(), key=lambda item: item[0] != "granter"):
        if name not in _NOT_COMPARED and found.plan.get(name) != value:
            raise UnmetError(
                f"the incomplete suite in {path} used {name} {_text(found.plan.get(name))}; this "
                f"command would use {_text(value)}",
                f"{_REMEDIES.get(name, 'repeat the command as it was')}, {restart}, or name "
                "another file with --json=FILE",
            )
    return found


def _text(value: object) -> str:
    """Write the value of a key of the plan."""
    return f"[{', '.join(map(value_text, value))}]" if isinstance(value, list) else f"{value}"
