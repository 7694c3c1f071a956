"""Single grant table operations, executed by a mapper."""

import struct
from typing import NamedTuple

from mapper import Mapper
from mapper_mailbox import HYPERCALL, Step

GRANT_TABLE_OP = 20
MAP, UNMAP, REPLACE = 0, 1, 7
#: initial status, which is no GNTST_* value: Xen did not reach the operation
UNTOUCHED = 1
_MAP = struct.Struct("<QIIHhIQ")
_UNMAP = struct.Struct("<QQIh2x")


class Mapped(NamedTuple):
    """The result of a map."""

    status: int
    handle: int
    bus: int


def pack_map(domid: int, gref: int, flags: int, host: int) -> bytes:
    """Return a packed gnttab_map_grant_ref."""
    return _MAP.pack(host, flags, gref, domid, UNTOUCHED, 0, 0)


def unpack_map(operation: bytes) -> Mapped:
    """Return the result in a gnttab_map_grant_ref."""
    _, _, _, _, status, handle, bus = _MAP.unpack(operation)
    return Mapped(status, handle, bus)


def pack_unmap(handle: int, host: int, second: int) -> bytes:
    """Return a packed gnttab_unmap_grant_ref or gnttab_unmap_and_replace.

    Args:
        handle: handle of the mapping.
        host: host address, or 0.
        second: bus address or 0; for unmap_and_replace the new host address.
    """
    return _UNMAP.pack(host, second, handle, UNTOUCHED)


def status_of_unmap(operation: bytes) -> int:
    """Return the status in an unmap operation."""
    return int(_UNMAP.unpack(operation)[3])


def map_one(mapper: Mapper, domid: int, gref: int, flags: int, host: int = 0) -> Mapped:
    """Map a reference; returns the result."""
    at = mapper.mailbox.put(0, operation := pack_map(domid, gref, flags, host))
    assert mapper.do([Step(HYPERCALL, (GRANT_TABLE_OP, MAP, at, 1))]) == [0]
    return unpack_map(mapper.mailbox.take(0, len(operation)))


def unmap_one(mapper: Mapper, handle: int, host: int = 0, bus: int = 0) -> int:
    """Unmap a handle; returns the status."""
    at = mapper.mailbox.put(0, operation := pack_unmap(handle, host, bus))
    assert mapper.do([Step(HYPERCALL, (GRANT_TABLE_OP, UNMAP, at, 1))]) == [0]
    return status_of_unmap(mapper.mailbox.take(0, len(operation)))
