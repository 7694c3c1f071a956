"""A suite that was interrupted: a file has the results so far, and the next run goes on."""

import os
from pathlib import Path

from xengt.bench.document import BenchDocument, read
from xengt.bench.suite import SuitePlan
from xengt.documents.write import STANDARD_OUTPUT
from xengt.errors import UnmetError
from xengt.xen.host import Host

_NO_DISKS = ("/dev/", "/proc/")


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
    remedy = f"delete {path} to start again"
    if found.host["boot_id"] != host["boot_id"]:
        raise UnmetError(f"{path} has an incomplete suite of an earlier boot", remedy)
    for name, value in plan.to_json().items():
        if found.plan.get(name) != value:
            raise UnmetError(
                f"{path} has an incomplete suite with another {name}: {found.plan.get(name)}, now "
                f"{value}",
                f"repeat the command as it was, or {remedy}",
            )
    return found
