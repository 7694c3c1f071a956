"""The encoding of maptrack handles: what a successful map returns and an unmap takes.

With the fast maptrack entries of the series in `patches/`, a handle names the
granter's own active entry instead of an entry of the mapper's maptrack table:

     31  30          16  15           0
    | F | granter domid |     gref     |

With F clear the handle is slow: an index into the mapper's maptrack table, like
every handle of stock Xen (`xen/common/grant_table.c`).
"""

from dataclasses import dataclass
from typing import Literal

from xengt.errors import UnmetError

FAST = 1 << 31
INVALID = 0xFFFF_FFFF
DOMID_BITS = 15
#: domid of the control domain
DOM0 = 0
DOMID_MAX = (1 << DOMID_BITS) - 1
DOMID_FIRST_RESERVED = 0x7FF0
GREF_BITS = 16
GREF_MAX = (1 << GREF_BITS) - 1
#: Mappings of a reference by one domain that have the reference's fast handle; others are slow.
MAPPINGS_PER_FAST_HANDLE = 2
#: Slow handles have bit 31 clear, which bounds their number whatever the maptrack limit.
MAX_SLOW_HANDLES = 1 << 31

# xen/include/public/xen.h
_RESERVED_NAMES = {
    0x7FF0: "DOMID_SELF",
    0x7FF1: "DOMID_IO",
    0x7FF2: "DOMID_XEN",
    0x7FF3: "DOMID_COW",
    0x7FF4: "DOMID_INVALID",
    0x7FFF: "DOMID_IDLE",
}


@dataclass(frozen=True, slots=True)
class Handle:
    """A decoded handle.

    Args:
        value: the handle, 32 bits.
        kind: `fast`, `slow`, or `invalid` for 0xffffffff.
        domid: granter of a fast handle.
        gref: grant reference of a fast handle, in the granter's table.
        index: index of a slow handle in the mapper's maptrack table.
    """

    value: int
    kind: Literal["fast", "slow", "invalid"]
    domid: int | None = None
    gref: int | None = None
    index: int | None = None

    @property
    def reserved(self) -> str | None:
        """Xen's name of the granter's domid if that domid is reserved."""
        return None if self.domid is None else reserved_name(self.domid)


def reserved_name(domid: int) -> str | None:
    """Return Xen's name of a reserved domid, and None for the domid of an ordinary domain.

    Args:
        domid: 0 to 0x7fff.
    """
    return _RESERVED_NAMES.get(domid, "reserved") if domid >= DOMID_FIRST_RESERVED else None


def fast_handle(domid: int, gref: int) -> int | None:
    """Return the handle of fast mappings of a reference; None if the reference has none.

    A hypervisor without fast entries assigns no such handle and rejects its unmap.

    Args:
        domid: the granter, 0 to 0x7fff.
        gref: the reference in the granter's table, 0 to 0xffffffff.
    """
    value = FAST | domid << GREF_BITS | gref
    return value if gref <= GREF_MAX and value != INVALID else None


def split(value: int) -> Handle:
    """Decode a handle.

    Args:
        value: 0 to 0xffffffff.

    Raises:
        UnmetError: the value does not fit into 32 bits.
    """
    if not 0 <= value <= INVALID:
        raise UnmetError(
            f"{value:#x} is not a maptrack handle: handles have 32 bits",
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
        UnmetError: the domid or the reference does not fit into its field, or the
            result is the value that means "invalid".
    """
    if not 0 <= domid <= DOMID_MAX:
        raise UnmetError(
            f"{domid} is not a domid: domids have {DOMID_BITS} bits",
            f"give a value from 0 to {DOMID_MAX:#x} ({DOMID_MAX})",
        )
    if gref < 0:
        raise UnmetError(
            f"{gref} is not a grant reference: references are not negative",
            f"give a value from 0 to {GREF_MAX}",
        )
    if gref > GREF_MAX:
        raise UnmetError(
            f"reference {gref} of domain {domid} has no fast handle: "
            "its mappings are tracked with slow entries",
            f"give a reference from 0 to {GREF_MAX}; "
            "only the map operation that returns a slow handle reports it",
        )
    value = fast_handle(domid, gref)
    if value is None:
        raise UnmetError(
            f"reference {gref} of domain {domid:#x} has no fast handle: "
            f"{INVALID:#x} is the invalid handle",
            f"give another granter: {domid:#x} is Xen's idle domain, which grants nothing",
        )
    return split(value)
