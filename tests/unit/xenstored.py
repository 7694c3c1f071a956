"""A XenStore daemon to test against, which misbehaves when told to.

It speaks the protocol of xen/include/public/io/xs_wire.h over a Unix socket. Xen's own
daemon cannot take its place: without Xen under it, it crashes on the first request.
"""

import socket
import struct
import threading
from contextlib import suppress

HEADER = struct.Struct("IIII")
DIRECTORY, READ, WRITE, RM, ERROR = 1, 2, 11, 13, 16


class FakeXenstored:
    """A daemon whose faults are chosen by name.

    `fault` is one of: None (it answers), "silent" (it takes requests and never
    answers), "hangup" (it closes in the middle of a request), "half" (it sends
    half an answer and no more), "stray" (it answers a request nobody made). A fault
    lasts for `faults` requests.
    """

    def __init__(self, place, domid=0):
        self.place = place
        self.home = f"/local/domain/{domid}"
        self.nodes = {f"{self.home}/domid": str(domid).encode()}
        self.forbidden = ()
        self.fault, self.faults = None, 1 << 30
        self.connections = 0
        self.before_request = lambda _operation, _path: None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(place))
        self.listener.listen()
        self.open = []
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
                operation, answer = self.answer(operation, path, payload)
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
        if not path.startswith("/"):
            path = f"{self.home}/{path}"
        if path.startswith(self.forbidden or ("\0",)):
            return ERROR, b"EACCES\0"
        below = path.rstrip("/") + "/"
        if operation == WRITE:
            self.nodes[path] = payload.split(b"\0", 1)[1]
            while path.count("/") > 1:
                path = path.rsplit("/", 1)[0]
                self.nodes.setdefault(path, b"")
            return operation, b"OK\0"
        if path not in self.nodes and not any(node.startswith(below) for node in self.nodes):
            return ERROR, b"ENOENT\0"
        if operation == READ:
            return operation, self.nodes.get(path, b"")
        if operation == RM:
            for node in [n for n in self.nodes if n == path or n.startswith(below)]:
                del self.nodes[node]
            return operation, b"OK\0"
        assert operation == DIRECTORY
        names = {n[len(below) :].split("/")[0] for n in self.nodes if n.startswith(below)}
        return operation, b"".join(name.encode() + b"\0" for name in sorted(names))

    def stop(self):
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        for each in (self.listener, *self.open):
            each.close()
        self.place.unlink(missing_ok=True)
