"""libxenevtchn: event channels."""

from typing import TYPE_CHECKING

from xenlib_cffi import device_paths
from xenlib_cffi.library import LibraryHandle, load

if TYPE_CHECKING:  # only the stub has names for C types
    from xenlib_cffi._xen import CXenevtchnHandle


class EventChannels(LibraryHandle):
    """A handle of libxenevtchn (`xenevtchn_open`); closing it unbinds its ports.

    Raises:
        MissingLibraryError: Xen's libraries cannot be loaded.
        XenLibraryError: /dev/xen/evtchn cannot be opened.
    """

    pointer: "CXenevtchnHandle"

    def __init__(self) -> None:
        """Open the device."""
        _, lib = load()
        super().__init__(
            "xenevtchn_open", device_paths.EVTCHN, lib.xenevtchn_open, lib.xenevtchn_close
        )

    def fileno(self) -> int:
        """Return the file descriptor to poll for pending ports (`xenevtchn_fd`)."""
        return self.lib.xenevtchn_fd(self.pointer)

    def bind_unbound(self, domid: int) -> int:
        """Allocate a port that a domain may connect to (`xenevtchn_bind_unbound_port`).

        Args:
            domid: the domain that may connect.

        Returns:
            The new local port.

        Raises:
            XenLibraryError: there is no such domain, or no free port.
        """
        return self.check(
            self.lib.xenevtchn_bind_unbound_port(self.pointer, domid),
            "xenevtchn_bind_unbound_port",
            f"domain {domid}",
        )

    def bind_interdomain(self, domid: int, remote_port: int) -> int:
        """Connect to the unbound port of a domain (`xenevtchn_bind_interdomain`).

        Args:
            domid: the domain that allocated the port.
            remote_port: its port.

        Returns:
            The new local port.

        Raises:
            XenLibraryError: the domain does not offer the port.
        """
        return self.check(
            self.lib.xenevtchn_bind_interdomain(self.pointer, domid, remote_port),
            "xenevtchn_bind_interdomain",
            f"port {remote_port} of domain {domid}",
        )

    def notify(self, port: int) -> None:
        """Send an event through a local port (`xenevtchn_notify`).

        Raises:
            XenLibraryError: the port is not bound.
        """
        self.check(
            self.lib.xenevtchn_notify(self.pointer, port), "xenevtchn_notify", f"port {port}"
        )

    def pending(self) -> int:
        """Wait for a pending port, mask it and return it (`xenevtchn_pending`).

        Raises:
            XenLibraryError: a signal interrupted the wait.
        """
        return self.check(
            self.lib.xenevtchn_pending(self.pointer), "xenevtchn_pending", device_paths.EVTCHN
        )

    def unmask(self, port: int) -> None:
        """Unmask a port after `pending` (`xenevtchn_unmask`).

        Raises:
            XenLibraryError: the port is not bound.
        """
        self.check(
            self.lib.xenevtchn_unmask(self.pointer, port), "xenevtchn_unmask", f"port {port}"
        )

    def unbind(self, port: int) -> None:
        """Close a port (`xenevtchn_unbind`).

        Raises:
            XenLibraryError: the port is not bound.
        """
        self.check(
            self.lib.xenevtchn_unbind(self.pointer, port), "xenevtchn_unbind", f"port {port}"
        )
