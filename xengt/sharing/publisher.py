"""A publication that goes when the process that made it goes, whatever ends that.

XenStore keeps what a killed process wrote. So a second process, which this
module is when it is run, waits for the first to end, and withdraws what it left.
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
    """Publish for as long as the context, or else this process, lasts.

    Args:
        store: this domain's XenStore.
        publication: of this domain and this process.

    Raises:
        UnmetError: another process shares with the same mapper, or XenStore refuses.
    """
    granter, mapper = publication.granter, publication.mapper
    other = publisher(store, granter, mapper)
    if other is not None and is_sharing(other):
        raise UnmetError(
            f"process {other} shares with domain {mapper} already",
            f"End it first (`kill {other}`), or have it share more pages.",
        )
    # its own session: what ends this process, Ctrl-C or a shell, is not to end the other
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


def publisher(store: XenStore, granter: int, mapper: int) -> int | None:
    """Read which process of the granter published, whether or not it still runs."""
    pid = store.read(f"{publication_directory(granter, mapper)}/pid")
    return int(pid) if pid and pid.isascii() and pid.isdigit() else None


def is_sharing(pid: int) -> bool:
    """Tell whether a process of this domain is an xengt that runs.

    A number alone proves nothing: another process may have it by now.
    """
    try:
        return b"xengt" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def main(granter: int, mapper: int, pid: int) -> None:
    """Wait until the process that started this one ends, and withdraw what it published."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    with XenStore() as store:
        if publisher(store, granter, mapper) == pid:
            withdraw(store, granter, mapper)


if __name__ == "__main__":
    try:
        main(*map(int, sys.argv[1:]))
    except XengtError as error:
        sys.exit(f"xengt: {error}")
