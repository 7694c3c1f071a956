"""Publishes shared pages for as long as the publishing process lives, however it ends.

XenStore keeps the nodes of a killed process. A second process, which runs this
module, waits for the first process to end and withdraws its publication.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xengt.errors import UnmetError, XengtError
from xengt.sharing.publication import Publication, publication_directory, publish, withdraw
from xengt.xen.xenstore import XenStore


@contextmanager
def publish_while_running(store: XenStore, publication: Publication) -> Iterator[None]:
    """Publish until the context or this process ends.

    Args:
        store: this domain's XenStore.
        publication: a publication of this domain by this process.

    Raises:
        UnmetError: another process shares with the same mapper, or XenStore rejects
            a request.
    """
    granter, mapper = publication.granter, publication.mapper
    other = publisher_pid(store, granter, mapper)
    if other is not None and is_sharing(other):
        raise UnmetError(
            f"process {other} of this domain already shares pages with domain {mapper}",
            f"end that process (`kill {other}`), and run `xengt share` with more --pages",
        )
    # A session of its own: Ctrl-C and a closed terminal do not signal the second process.
    withdrawer = subprocess.Popen(  # noqa: S603 - this interpreter and numbers
        [sys.executable, "-m", __name__, str(granter), str(mapper), str(publication.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    with withdrawer:
        try:
            publish(store, publication)
            yield
        finally:
            withdraw(store, granter, mapper)
            withdrawer.kill()


def publisher_pid(store: XenStore, granter: int, mapper: int) -> int | None:
    """Return the pid of the publishing process, which may have ended; None if there is none."""
    pid = store.read(f"{publication_directory(granter, mapper)}/pid")
    return int(pid) if pid and pid.isascii() and pid.isdigit() else None


def is_sharing(pid: int) -> bool:
    """Return whether a process of this domain is a running xengt.

    The command line is checked because the kernel may have reused the pid.
    """
    try:
        return b"xengt" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def main(granter: int, mapper: int, pid: int) -> None:
    """Wait until the parent process ends, and withdraw its publication.

    Args:
        granter: domid of this domain.
        mapper: domid of the domain that may map the pages.
        pid: the parent process; a publication of another process stays.
    """
    while os.read(sys.stdin.fileno(), 1):
        pass
    with XenStore() as store:
        if publisher_pid(store, granter, mapper) == pid:
            withdraw(store, granter, mapper)


if __name__ == "__main__":
    try:
        main(*map(int, sys.argv[1:]))
    except XengtError as error:
        sys.exit(f"xengt: {error}")
