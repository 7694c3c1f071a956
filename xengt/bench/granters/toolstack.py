"""What a toolstack such as xl sees of empty domains: their names, and that they shut down.

libxl asks every domain to shut down in a node of XenStore, and waits for a minute for a
guest OS to answer. An empty domain has none, so `xl shutdown --all` would stop there.
"""

import logging
from collections.abc import Sequence

from xengt.recovery import domain_nodes, domain_owner
from xengt.xen.xenstore import XenStore
from xengt.xen.xenstore_thread import STOP_S, XenStoreThread
from xenlib_cffi.ctrl import Ctrl

log = logging.getLogger(__name__)

#: requests that end a domain; a domain that does not answer to others, such as `suspend`, stays
_SHUTDOWN_REQUESTS = {"poweroff", "halt", "reboot"}
#: longest wait for the removal of one domain's nodes when the thread is stopped, in seconds
_REMOVAL_S = 0.25


class ToolstackAnswers(XenStoreThread):
    """A thread that names empty domains, and destroys those that a toolstack shuts down.

    It does nothing without XenStore, which an empty domain does not need.

    Args:
        domids: of domains that this process has created.
    """

    def __init__(self, domids: Sequence[int]) -> None:
        """Prepare the thread; `start` starts it."""
        stop_s = STOP_S + _REMOVAL_S * len(domids)
        super().__init__("xengt-toolstack", logging.DEBUG, stop_s)
        self._domids = domids

    def follow(self, store: XenStore) -> None:
        """Name the domains and wait for requests until the thread is stopped."""
        with Ctrl() as ctrl:
            owned = domain_owner.existing(ctrl, self._domids)
            by_path = {domain_nodes.shutdown_path(domid): domid for domid in owned}
            for node, domid in by_path.items():
                domain_nodes.write(store, domid)
                store.watch(node, self.events)
            self.up = True
            while not self.stopping.is_set():
                path = self.next_change()
                if path in by_path and store.read(path) in _SHUTDOWN_REQUESTS:
                    _shut_down(store, ctrl, by_path.pop(path))
            for domid in by_path.values():
                domain_nodes.remove(store, domid)


def _shut_down(store: XenStore, ctrl: Ctrl, domid: int) -> None:
    """Destroy a domain, and then remove its nodes, which is the answer for the toolstack."""
    # In the other order, libxl could see the answer while the domain still exists, and wait for
    # an event that only domains which xenstored knows cause.
    if domain_owner.existing(ctrl, [domid]):
        log.info("domain %d of xengt is destroyed, because a toolstack shuts it down", domid)
        ctrl.destroy(domid)
        domain_nodes.remove(store, domid)
