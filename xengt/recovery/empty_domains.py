"""Destroys empty domains and waits until Xen no longer lists them."""

import errno
import time
from collections.abc import Sequence

from xengt.errors import FailedError
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import XenLibraryError

#: seconds; Linux gives gntdev's mappings back some time after it was asked
DESTROY_TIMEOUT_S = 20.0


def destroy_domains(ctrl: Ctrl, domids: Sequence[int]) -> None:
    """Destroy domains, and wait until they are no longer listed.

    Args:
        ctrl: open.
        domids: which; one that is gone already is as good as destroyed.

    Raises:
        FailedError: one stays for more than `GONE_WITHIN`.
        XenLibraryError: one cannot be destroyed.
    """
    for domid in domids:
        try:
            ctrl.destroy(domid)
        except XenLibraryError as error:
            if error.errno != errno.ESRCH:
                raise
    deadline = time.monotonic() + DESTROY_TIMEOUT_S
    while left := {domain.domid for domain in ctrl.domains()} & set(domids):
        if time.monotonic() > deadline:
            raise FailedError(
                f"domains {sorted(left)} are destroyed but do not go: their pages are still mapped",
                "find who maps them: xl debug-keys g, then xl dmesg",
            )
        time.sleep(0.05)
