"""libxenevtchn: event channels."""

from xenlib_cffi import device_paths
from xenlib_cffi.library import LibraryHandle


class EventChannels(LibraryHandle):
    """A handle of libxenevtchn (`xenevtchn_open`); closing it unbinds its ports.

    Raises:
        MissingLibraryError: Xen's libraries are not here.
        XenLibraryError: /dev/xen/evtchn cannot be opened.
    """

    def __init__(self) -> None:
        """Open the device."""
        super().__init__("xenevtchn_open", device_paths.EVTCHN, "xenevtchn_close")

    def fileno(self) -> int:
        """The descriptor to poll for pending ports (`xenevtchn_fd`)."""
        return int(self.lib.xenevtchn_fd(self.pointer))

    def bind_unbound(self, domid: int) -> int:
        """A new port that the domain may connect to (`xenevtchn_bind_unbound_port`).

        Raises:
            XenLibraryError: no such domain, or no port left.
        """
        return self.check(
            self.lib.xenevtchn_bind_unbound_port(self.pointer, domid),
            "xenevtchn_bind_unbound_port",
            f"domain {domid}",
        )

    def bind_interdomain(self, domid: int, remote_port: int) -> int:
        """A new port connected to a domain's unbound one (`xenevtchn_bind_interdomain`).

        Raises:
            XenLibraryError: the domain offers no such port.
        """
        return self.check(
            self.lib.xenevtchn_bind_interdomain(self.pointer, domid, remote_port),
            "xenevtchn_bind_interdomain",
            f"port {remote_port} of domain {domid}",
        )

    def notify(self, port: int) -> None:
        """Send an event (`xenevtchn_notify`).

        Raises:
            XenLibraryError: the port is not bound.
        """
        self.check(
            self.lib.xenevtchn_notify(self.pointer, port), "xenevtchn_notify", f"port {port}"
        )

    def pending(self) -> int:
        """The next pending port, masked by this; waits for one (`xenevtchn_pending`).

        Raises:
            XenLibraryError: the wait was interrupted.
        """
        return self.check(
            self.lib.xenevtchn_pending(self.pointer), "xenevtchn_pending", device_paths.EVTCHN
        )

    def unmask(self, port: int) -> None:
        """Let events through again (`xenevtchn_unmask`).

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
