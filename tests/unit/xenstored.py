"""A XenStore daemon for tests, with faults that a test can select.

It speaks the protocol of xen/include/public/io/xs_wire.h over a Unix socket. Xen's own
daemon cannot be used: without Xen, it crashes on the first request.
"""

import socket
import struct
import threading
import zlib
from contextlib import suppress

HEADER = struct.Struct("IIII")
DIRECTORY, READ, WATCH, UNWATCH, WRITE, RM, EVENT, ERROR = 1, 2, 4, 5, 11, 13, 15, 16
DIRECTORY_PART = 22
#: longest payload of an answer in bytes (XENSTORE_PAYLOAD_MAX), except oxenstored's over a socket
PAYLOAD_MAX = 4096


class FakeXenstored:
    """A daemon with selectable faults.

    `fault` is one of: None (it answers), "silent" (it accepts requests and never
    answers), "hangup" (it closes the connection during a request), "half" (it sends
    an incomplete answer), "stray" (it answers a request that was not made). A fault
    lasts for `faults` requests.

    `kind` is "xenstored", "oxenstored" (which sends answers of any length over a socket, and
    knows no parts of directories) or "old" (an xenstored that knows no parts).
    """

    def __init__(self, path, domid=0):
        self.path = path
        self.home = f"/local/domain/{domid}"
        self.nodes = {f"{self.home}/domid": str(domid).encode()}
        self.forbidden = ()
        self.kind = "xenstored"
        self.fault, self.faults = None, 1 << 30
        self.connections = 0
        self.before_request = lambda _operation, _path: None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.open = []
        self.watches = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                self.open.append(connection)
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with suppress(OSError, EOFError):
            while True:
                operation, request, transaction, size = HEADER.unpack(self.take(connection, 16))
                payload = self.take(connection, size)
                path = payload.split(b"\0")[0].decode()
                self.before_request(operation, path)
                fault = self.fault if self.faults > 0 else None
                if fault:
                    self.faults -= 1
                requested = operation
                operation, answer = self.answer(operation, path, payload)
                if requested in {WATCH, UNWATCH}:
                    words = payload.split(b"\0")[:2]
                    self.set_watch(connection, words, watch=requested == WATCH)
                packet = HEADER.pack(operation, request, transaction, len(answer)) + answer
                if fault == "hangup":
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                if fault == "half":
                    connection.sendall(packet[:-1])
                elif fault == "stray":
                    stray = HEADER.pack(operation, request + 77, transaction, len(answer))
                    connection.sendall(stray + answer)
                elif fault is None:
                    connection.sendall(packet)
                    if requested == WATCH:
                        self.event(connection, words[0], words[1])
                    elif requested in {WRITE, RM}:
                        self.changed(path)

    def set_watch(self, connection, words, *, watch):
        path, token = words
        entry = (connection, path, token)
        if watch:
            self.watches.append(entry)
        else:
            with suppress(ValueError):  # set on an earlier connection, which was lost
                self.watches.remove(entry)

    def changed(self, path):
        """Send events to the watches of a node and of the nodes above it."""
        path = path if path.startswith(("/", "@")) else f"{self.home}/{path}"
        for connection, watched, token in list(self.watches):
            if path == watched.decode() or path.startswith(watched.decode().rstrip("/") + "/"):
                with suppress(OSError):
                    self.event(connection, path.encode(), token)

    @staticmethod
    def event(connection, *words):
        content = b"".join(word + b"\0" for word in words)
        connection.sendall(HEADER.pack(EVENT, 0, 0, len(content)) + content)

    @staticmethod
    def take(connection, size):
        data = b""
        while len(data) < size:
            piece = connection.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def answer(self, operation, path, payload):
        if not path.startswith(("/", "@")):
            path = f"{self.home}/{path}"
        if path.startswith(self.forbidden or ("\0",)):
            return ERROR, b"EACCES\0"
        below = path.rstrip("/") + "/"
        if operation in {WATCH, UNWATCH, WRITE}:
            if operation == WRITE:
                self.write(path, payload.split(b"\0", 1)[1])
            return operation, b"OK\0"
        if path not in self.nodes and not any(node.startswith(below) for node in self.nodes):
            return ERROR, b"ENOENT\0"
        if operation == READ:
            return operation, self.nodes.get(path, b"")
        if operation == RM:
            for node in [n for n in self.nodes if n == path or n.startswith(below)]:
                del self.nodes[node]
            return operation, b"OK\0"
        return self.directory(operation, below, payload)

    def directory(self, operation, below, payload):
        names = {n[len(below) :].split("/")[0] for n in self.nodes if n.startswith(below)}
        children = b"".join(name.encode() + b"\0" for name in sorted(names))
        if operation == DIRECTORY_PART and self.kind == "xenstored":
            return operation, self.part(children, int(payload.split(b"\0")[1]))
        if operation != DIRECTORY:
            return ERROR, b"ENOSYS\0"
        if len(children) > PAYLOAD_MAX and self.kind != "oxenstored":
            return ERROR, b"E2BIG\0"
        return operation, children

    @staticmethod
    def part(children, offset):
        """The answer of send_directory_part() in Xen's tools/xenstored/core.c."""
        generation = b"%d\0" % zlib.crc32(children)
        if offset >= len(children):
            return generation + b"\0"
        room = PAYLOAD_MAX - len(generation) - 1
        piece = children[offset : offset + room]
        piece = piece[: piece.rindex(b"\0") + 1]
        return generation + piece + b"\0" * (offset + len(piece) == len(children))

    def write(self, path, value):
        self.nodes[path] = value
        while path.count("/") > 1:
            path = path.rsplit("/", 1)[0]
            self.nodes.setdefault(path, b"")

    def stop(self):
        for each in (self.listener, *self.open):
            with suppress(OSError):  # its thread reads from the socket, which would stay open
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.path.unlink(missing_ok=True)
