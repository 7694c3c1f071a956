"""The socket on which the agent listens."""

import errno
import socket

from xengt.errors import UnmetError
from xengt.serve.config import Listen

_BACKLOG = 128
_OTHER_ADDRESS = (
    "set listen.address to an address of this host (`ip address`), or create the interface that "
    "will have it"
)
_OTHER_PORT = (
    "find the process that uses the port (`ss -ltnp`), or change listen.address or "
    "listen.port in the configuration"
)


class AddressUnavailableError(UnmetError):
    """This host does not have the address now, but may have it later."""


def url_host(listen: Listen) -> str:
    """Return the configured address and port, as in a URL."""
    host = f"[{listen.address}]" if ":" in listen.address else listen.address
    return f"{host}:{listen.port}"


def open_listener(listen: Listen, replaced: socket.socket | None = None) -> socket.socket:
    """Open a listening socket.

    Args:
        listen: address and port.
        replaced: this process' socket that the new one replaces. Their addresses may overlap, as
            those of 127.0.0.1:9805 and 0.0.0.0:9805 do.

    Raises:
        AddressUnavailableError: this host does not have the address, or cannot resolve the name
            now.
        UnmetError: the address cannot be bound for another reason.
    """
    family, address = _resolve(listen, listen.port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind_and_listen(listener, address, replaced)
    except OSError as error:
        listener.close()
        raise _explained(listen, error) from error
    # After a reload, two threads may accept from this socket for a moment: none may block.
    listener.setblocking(False)
    return listener


def require_local(listen: Listen) -> None:
    """Check that the address belongs to this host, without listening and for any port.

    Args:
        listen: the address.

    Raises:
        UnmetError: this host does not have the address.
    """
    # A UDP socket disturbs no agent, and the kernel chooses its port.
    family, address = _resolve(listen, 0)
    with socket.socket(family, socket.SOCK_DGRAM) as unused:
        try:
            unused.bind(address)
        except OSError as error:
            raise _explained(listen, error) from error


def _resolve(listen: Listen, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        family, *_, address = socket.getaddrinfo(
            listen.address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise _explained(listen, error) from error
    return family, address  # type: ignore[return-value]  # an IPv6 address has two items more


def _bind_and_listen(
    listener: socket.socket, address: tuple[str, int], replaced: socket.socket | None
) -> None:
    """Bind a socket and listen; SO_REUSEPORT permits an overlap with the replaced one meanwhile.

    With that option set for longer, a second agent could share the port unnoticed.
    """
    sharing = () if replaced is None else (replaced, listener)
    for each in sharing:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    finally:
        for each in sharing:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)


def _explained(listen: Listen, error: Exception) -> UnmetError:
    reason = getattr(error, "strerror", None) or str(error)
    what = f"cannot listen on {url_host(listen)}: {reason}"
    if _is_temporary(listen, error):
        return AddressUnavailableError(what, _OTHER_ADDRESS)
    if isinstance(error, socket.gaierror | UnicodeError):
        return UnmetError(what, _OTHER_ADDRESS)
    return UnmetError(what, _OTHER_PORT)


def _is_temporary(listen: Listen, error: Exception) -> bool:
    """Return whether an interface that appears later, or DNS, may remove the error."""
    if isinstance(error, socket.gaierror):
        # An address with the name of an interface, fe80::1%xenbr0, resolves once that exists.
        return error.errno == socket.EAI_AGAIN or "%" in listen.address
    return isinstance(error, OSError) and error.errno in {errno.EADDRNOTAVAIL, errno.ENODEV}
