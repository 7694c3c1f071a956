"""Destroys empty domains and waits until Xen no longer lists them."""

import errno
import time
from collections.abc import Sequence

from xengt.errors import FailedError
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import XenLibraryError

#: seconds; Linux unmaps grants that gntdev had mapped some time after munmap(2)
DESTROY_TIMEOUT_S = 20.0
_POLL_INTERVAL_S = 0.05


def destroy_domains(ctrl: Ctrl, domids: Sequence[int]) -> None:
    """Destroy domains, and wait until Xen no longer lists them.

    Args:
        ctrl: an open handle of libxenctrl.
        domids: the domains; those that no longer exist are ignored.

    Raises:
        FailedError: a domain still exists after `DESTROY_TIMEOUT_S`.
        XenLibraryError: a domain cannot be destroyed.
    """
    for domid in domids:
        try:
            ctrl.destroy(domid)
        except XenLibraryError as error:
            if error.errno != errno.ESRCH:
                raise
    if not domids:
        return
    deadline = time.monotonic() + DESTROY_TIMEOUT_S
    while remaining := {domain.domid for domain in ctrl.domains()} & set(domids):
        if time.monotonic() > deadline:
            raise FailedError(
                f"domains {sorted(remaining)} were destroyed but still exist: "
                "their pages are still mapped",
                "find the mapper with `xengt usage --from-console`",
            )
        time.sleep(_POLL_INTERVAL_S)
