"""The maptrack handle: what a successful map returns and an unmap is given.

The encoding is that of fast maptrack entries, where a handle names the
granter's own active entry instead of an entry of the mapper's maptrack table:

     31  30          16  15           0
    | F | granter domid |     gref     |

With F clear the handle is slow: an index into the mapper's maptrack table, as
every handle of a stock hypervisor is (`xen/common/grant_table.c`).
"""

from dataclasses import dataclass
from typing import Literal

from xengt.errors import UnmetError

FAST = 1 << 31
INVALID = 0xFFFF_FFFF
DOMID_BITS = 15
DOMID_MAX = (1 << DOMID_BITS) - 1
DOMID_FIRST_RESERVED = 0x7FF0
GREF_BITS = 16
GREF_MAX = (1 << GREF_BITS) - 1

# xen/include/public/xen.h
_RESERVED = {
    0x7FF0: "DOMID_SELF",
    0x7FF1: "DOMID_IO",
    0x7FF2: "DOMID_XEN",
    0x7FF3: "DOMID_COW",
    0x7FF4: "DOMID_INVALID",
    0x7FFF: "DOMID_IDLE",
}


@dataclass(frozen=True, slots=True)
class Handle:
    """A handle taken apart.

    Args:
        value: the 32-bit handle.
        kind: `fast`, `slow`, or `invalid` for 0xffffffff.
        domid: the granter of a fast handle.
        gref: the grant reference of a fast handle, in the granter's table.
        index: the entry of the mapper's maptrack table that a slow handle names.
    """

    value: int
    kind: Literal["fast", "slow", "invalid"]
    domid: int | None = None
    gref: int | None = None
    index: int | None = None

    @property
    def reserved(self) -> str | None:
        """Xen's name for the granter when no ordinary domain can have that domid."""
        return None if self.domid is None else reserved_name(self.domid)


def reserved_name(domid: int) -> str | None:
    """Name a domid from DOMID_FIRST_RESERVED on, which no ordinary domain has.

    Args:
        domid: a domain's number, 0 to 0x7fff.
    """
    return _RESERVED.get(domid, "reserved") if domid >= DOMID_FIRST_RESERVED else None


def fast(domid: int, gref: int) -> int | None:
    """Give the handle that a fast mapping of a reference has, or None where none is fast.

    A hypervisor without fast entries has no mapping of that handle, and refuses it.

    Args:
        domid: the granter, 0 to 0x7fff.
        gref: the reference in the granter's table, 0 to 0xffffffff.
    """
    value = FAST | domid << GREF_BITS | gref
    return value if gref <= GREF_MAX and value != INVALID else None


def split(value: int) -> Handle:
    """Take a handle apart.

    Args:
        value: the handle, 0 to 0xffffffff.

    Raises:
        UnmetError: the value does not fit 32 bits.
    """
    if not 0 <= value <= INVALID:
        raise UnmetError(
            f"{value:#x} is not a handle: handles have 32 bits",
            "give a value from 0 to 0xffffffff",
        )
    if value == INVALID:
        return Handle(value, "invalid")
    if value & FAST:
        return Handle(value, "fast", domid=value >> GREF_BITS & DOMID_MAX, gref=value & GREF_MAX)
    return Handle(value, "slow", index=value)


def build(domid: int, gref: int) -> Handle:
    """Build the fast handle of a granter's reference.

    Args:
        domid: the granter, 0 to 0x7fff.
        gref: the reference in the granter's table, 0 to 65535.

    Raises:
        UnmetError: one of the two does not fit its field, or the handle would
            be the one that means "invalid".
    """
    if not 0 <= domid <= DOMID_MAX:
        raise UnmetError(
            f"{domid} is not a domid: domids have {DOMID_BITS} bits",
            f"give a value from 0 to {DOMID_MAX:#x} ({DOMID_MAX})",
        )
    if gref < 0:
        raise UnmetError(f"{gref} is not a grant reference", "references count from 0")
    if gref > GREF_MAX:
        raise UnmetError(
            f"reference {gref} of domain {domid} is tracked with a slow entry; "
            "it has no fast handle",
            f"fast handles reach references up to {GREF_MAX}; "
            "a slow handle is known only from the map that returned it",
        )
    value = fast(domid, gref)
    if value is None:
        raise UnmetError(
            f"reference {gref} of domain {domid:#x} has no handle: "
            f"{INVALID:#x} means an invalid handle",
            "0x7fff is Xen's idle domain, which grants nothing: give a real granter",
        )
    return split(value)
