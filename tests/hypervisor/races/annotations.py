"""Annotations of intentional lock-free accesses in Xen's source, for ThreadSanitizer.

On x86 a plain load is an acquire and a plain store a release operation. ThreadSanitizer follows C
instead, where concurrent accesses must be atomic. Instead of excluding whole functions, each such
access is replaced by an atomic macro, so that all other accesses in the function are still checked.
No annotation adds a lock or makes two operations atomic.
"""

from dataclasses import dataclass

from tests.hypervisor.changes import Change


@dataclass(frozen=True)
class Annotation:
    """Atomic accesses to a field.

    Attributes:
        field: name of the field.
        why: reason why concurrent accesses are correct.
        changes: that make the accesses atomic.
    """

    field: str
    why: str
    changes: tuple[Change, ...]


def _read(*places: str) -> tuple[Change, ...]:
    """Return changes that make reads atomic; the expression read is between two bars."""
    return tuple(_annotate(place, "read_atomic(&{})") for place in places)


def _annotate(place: str, macro: str) -> Change:
    before, expression, after = place.split("|")
    return Change(before + expression + after, before + macro.format(expression) + after)


COMMON = (
    Annotation(
        "a page table entry",
        "CPUs set its accessed and dirty flags at any time; the flags are taken from the exchange.",
        (
            Change(
                "ol1e = *pl1e;",
                "ol1e.l1 = read_atomic(&pl1e->l1);",
                file="pv-grant_table.c",
                times=3,
            ),
        ),
    ),
    Annotation(
        "shared and status words, in gnttab_clear_flags()",
        "A locked instruction in inline assembly, which ThreadSanitizer cannot see.",
        (
            Change(
                'asm volatile ("lock andw %1,%0" : "+m" (*addr) : "ir" ((uint16_t)~mask));',
                "random_delay(); __atomic_fetch_and(addr, (uint16_t)~mask, __ATOMIC_SEQ_CST);",
                file="asm-grant_table.h",
            ),
        ),
    ),
    Annotation(
        "grant_table.maptrack_limit",
        "Only grows, after the frames it covers have been stored.",
        (
            *_read(
                "array_index_nospec(e, |(t)->maptrack_limit|)",
                "op->handle >= |lgt->maptrack_limit|)",
            ),
            Change(
                "lgt->maptrack_limit += MAPTRACK_PER_PAGE",
                "write_atomic(&lgt->maptrack_limit, lgt->maptrack_limit + MAPTRACK_PER_PAGE)",
            ),
        ),
    ),
    Annotation(
        "grant_mapping.ref, .domid",
        "The handle may be unmapped concurrently: unmap_common() checks again with the entry "
        "locked, and only the holder of that lock ends a mapping.",
        (
            *_read(
                "dom = |map->domid|;",
                "unlikely(|map->domid| != dom)",
                "unlikely(|map->ref| != ref)",
            ),
            Change("mt->domid = op->dom", "write_atomic(&mt->domid, op->dom)"),
            Change("mt->ref   = op->ref", "write_atomic(&mt->ref, op->ref)"),
            Change(
                "maptrack_entry(t, handle).ref = MAPTRACK_TAIL",
                "write_atomic(&maptrack_entry(t, handle).ref, MAPTRACK_TAIL)",
            ),
            Change(
                "maptrack_entry(t, tail).ref = handle",
                "write_atomic(&maptrack_entry(t, tail).ref, handle)",
            ),
        ),
    ),
    Annotation(
        "vcpu.maptrack_tail",
        "The check for an empty list is lock-free: only the vCPU itself adds its first entry, and "
        "the list is never empty again.",
        (
            Change(
                "if ( curr->maptrack_tail == MAPTRACK_TAIL )",
                "if ( read_atomic(&curr->maptrack_tail) == MAPTRACK_TAIL )",
                times=2,
            ),
            Change("v->maptrack_tail = handle", "write_atomic(&v->maptrack_tail, handle)"),
        ),
    ),
)

STOCK = (
    *COMMON,
    Annotation(
        "grant_mapping.ref, read twice by unmap_common()",
        "A compiler makes this one load, and so does the series. With two loads, the completed "
        "reference could differ from the unmapped one.",
        (
            Change(
                "op->ref = map->ref;\n    ref = map->ref;",
                "op->ref = ref = read_atomic(&map->ref);",
            ),
        ),
    ),
    Annotation(
        "grant_mapping.flags",
        "Cleared with the entry locked; also read before that, and checked again.",
        (
            Change(
                "map->flags &= ~GNTMAP_host_map",
                "write_atomic(&map->flags, map->flags & ~GNTMAP_host_map)",
            ),
            Change(
                "map->flags &= ~GNTMAP_device_map",
                "write_atomic(&map->flags, map->flags & ~GNTMAP_device_map)",
            ),
            Change(
                "map->flags = 0;\n        put_handle",
                "write_atomic(&map->flags, 0);\n        put_handle",
            ),
        ),
    ),
)

#: the parts of a pin count that unmapping drops, by function
DROPPED_PINS = {
    "unmap_common_complete": ("devr", "devw", "hstr", "hstw"),
    "complete_device_unmap": ("devr", "devw"),
}

PATCHED = (
    *COMMON,
    Annotation(
        "grant_mapping.flags, active_grant_entry.slot",
        "Cleared with the entry locked. The flags are also read before that and checked again; "
        "release_fast_page() reads slots, but only those of a domain that no longer runs matter.",
        (
            Change(
                "*mflags &= ~GNTMAP_host_map", "write_atomic(mflags, *mflags & ~GNTMAP_host_map)"
            ),
            Change(
                "*mflags &= ~GNTMAP_device_map",
                "write_atomic(mflags, *mflags & ~GNTMAP_device_map)",
            ),
            Change("*mflags = 0", "write_atomic(mflags, 0)"),
            Change("*mflags = flags", "write_atomic(mflags, flags)"),
            Change("*slot = record", "write_atomic(slot, record)"),
            Change("        *slot = 0", "        write_atomic(slot, 0)"),
            Change("*op->slot = 0", "write_atomic(op->slot, 0)"),
            Change("act->slot[i] = 0", "write_atomic(&act->slot[i], 0)"),
        ),
    ),
    Annotation(
        "FAST_live in active_grant_entry.slot",
        "Set without the entry's lock, like stock's flags. A reader sees the same record, live or "
        "not; a reader that needs a live slot either finds it or not.",
        (
            *_read(
                "if ( likely(!|act->slots|) )\n        return slot;",
                "other = |act->slot[1]|;",
                "if ( !(|act->slot[1]| & FAST_live) )",
                "return |act->slot[0]| & FAST_live",
                "if ( !(|act->slot[0]| & FAST_live) )",
                "if ( (|act->slot[i]| & FAST_tag) == tag )",
                "if ( (|act->slot[i]| & FAST_live) &&",
                "if ( unlikely(!|act->slots|) ",
            ),
            Change(
                "!((act->slot[0] | act->slot[1]) & FAST_live)",
                "!((read_atomic(&act->slot[0]) | read_atomic(&act->slot[1])) & FAST_live)",
            ),
            Change(
                "if ( *slot )\n    {\n        other = *slot++;\n        if ( *slot )",
                "if ( read_atomic(slot) )\n    {\n"
                "        other = read_atomic(slot++);\n        if ( read_atomic(slot) )",
            ),
            Change(
                "((act->slot[0] ^ act->slot[1]) & FAST_flags)",
                "((read_atomic(&act->slot[0]) ^ read_atomic(&act->slot[1])) & FAST_flags)",
            ),
        ),
    ),
    Annotation(
        "active_grant_entry.pin",
        "Changed with the entry locked. A version switch reads it without the lock, and looks at "
        "the lock before and after. Other users of the entry hold the table lock or see "
        "version_changing.",
        (
            Change(
                "act->pin -= pin_incr",
                "write_atomic(&act->pin, act->pin - pin_incr)",
                function="map_grant_ref",
            ),
            *(
                Change(
                    f"act->pin -= GNTPIN_{part}_inc",
                    f"write_atomic(&act->pin, act->pin - GNTPIN_{part}_inc)",
                    function=function,
                )
                for function, parts in DROPPED_PINS.items()
                for part in parts
            ),
        ),
    ),
    Annotation(
        "grant_table.nr_grant_frames",
        "Only grows, after the frames it covers have been stored.",
        _read("return |gt->nr_grant_frames|;"),
    ),
)
