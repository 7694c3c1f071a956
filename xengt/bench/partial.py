"""A suite that was interrupted: its document has the results so far, and the next run goes on."""

from pathlib import Path

from xengt.bench.document import BenchDocument, read
from xengt.bench.suite import SuitePlan
from xengt.errors import UnmetError
from xengt.xen.host import Host


def find_incomplete(path: Path, plan: SuitePlan, host: Host) -> BenchDocument | None:
    """Return the document that an interrupted run of the same suite has left in a file.

    Args:
        path: the file that the run was writing.
        plan: the suite that is to be measured.
        host: the facts of the running host.

    Returns:
        None if there is no such file, or if it has no incomplete suite.

    Raises:
        UnmetError: the file has an incomplete suite of another boot or another plan.
    """
    try:
        found = read(str(path))
    except UnmetError:
        return None
    if found.plan.get("suite") != "incomplete":
        return None
    if found.host["boot_id"] != host["boot_id"] or dict(found.plan) != plan.to_json():
        raise UnmetError(
            f"{path} has an incomplete suite of another boot, or one with other options",
            "name another file with --json=FILE, or delete this one",
        )
    return found
