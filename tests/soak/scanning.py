"""A scanner of the agent's port, as nmap's service detection: connections that are no scrapes."""

import secrets
import socket
import struct
import time
from contextlib import ExitStack, suppress

from tests.patience import patient

#: more than the agent keeps open
IDLE = 70
#: how long they stay open, in seconds
IDLE_S = 1.0
#: beginning of a TLS handshake, as a client of HTTPS sends it
CLIENT_HELLO = bytes.fromhex("16030100450100004103036563") + bytes(60)
PAYLOADS = (
    CLIENT_HELLO,
    secrets.token_bytes(2048),
    b"\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: ",  # ends within a header
    b"GET /metrics HTTP/9.9\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nContent-Length: 100000\r\n\r\nx",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
)
#: SO_LINGER with which close() resets the connection
RESET = struct.pack("ii", 1, 0)


def scan(address: str) -> None:
    """Scan the port once."""
    for payload in PAYLOADS:
        with connected(address) as connection, suppress(ConnectionError):
            connection.sendall(payload)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        with connected(address) as connection, suppress(ConnectionError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            connection.sendall(payload)
    with ExitStack() as stack:
        for number in range(IDLE):
            connection = stack.enter_context(connected(address))
            # Half of them send nothing, the others an incomplete request. The agent closes some.
            with suppress(ConnectionError):
                connection.sendall(b"GET /met" if number % 2 else b"")
        time.sleep(IDLE_S)


def connected(address: str) -> socket.socket:
    """Return a new connection."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=patient(30))
