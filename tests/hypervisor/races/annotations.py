"""What Xen reads or writes without a lock on purpose, marked so that ThreadSanitizer knows.

On x86 a plain load acquires and a plain store releases. A sanitizer goes by C instead, where what
may meet has to be marked. Rather than have it not look at a whole function, each such access is
replaced by the macro that says so: anything else in the function is still looked at. None of them
makes a lock of it, nor one operation of two.
"""

from dataclasses import dataclass

from tests.hypervisor.changes import Change


@dataclass(frozen=True)
class Mark:
    """Accesses of one field, and why they may meet others."""

    field: str
    why: str
    changes: tuple[Change, ...]


def _read(*places: str) -> tuple[Change, ...]:
    """Changes for plain reads; what is read is between two bars."""
    return tuple(_marked(place, "read_atomic(&{})") for place in places)


def _marked(place: str, how: str) -> Change:
    before, what, after = place.split("|")
    return Change(before + what + after, before + how.format(what) + after)


COMMON = (
    Mark(
        "shared and status words, in gnttab_clear_flags()",
        "Not a race: one locked instruction, but of inline assembly, which is not looked into.",
        (
            Change(
                'asm volatile ("lock andw %1,%0" : "+m" (*addr) : "ir" ((uint16_t)~mask));',
                "random_delay(); __atomic_fetch_and(addr, (uint16_t)~mask, __ATOMIC_SEQ_CST);",
                file="asm-grant_table.h",
            ),
        ),
    ),
    Mark(
        "grant_table.maptrack_limit",
        "Only ever grows, and does so once what it covers is in place.",
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
    Mark(
        "grant_mapping.ref, .domid",
        "Of a handle that is being unmapped, or was: unmap_common() looks again with the entry "
        "locked, whose holder alone ends a mapping.",
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
    Mark(
        "vcpu.maptrack_tail",
        "Whether there is any is looked at without the lock: once there is, there always is, and "
        "only the vCPU itself makes it its first.",
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
    Mark(
        "grant_mapping.ref, read twice by unmap_common()",
        "A compiler makes one load of it, and so does the series. Were it two, then what is "
        "completed could be another reference than what was unmapped.",
        (
            Change(
                "op->ref = map->ref;\n    ref = map->ref;",
                "op->ref = ref = read_atomic(&map->ref);",
            ),
        ),
    ),
    Mark(
        "grant_mapping.flags",
        "Ends with the entry locked, but is looked at before that as well, and then again.",
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

PATCHED = (
    *COMMON,
    Mark(
        "grant_mapping.flags, active_grant_entry.slot",
        "End with the entry locked; the first is looked at before that as well, and then again; a "
        "slot by release_fast_page(), to which only those of a domain matter that no longer runs.",
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
    Mark(
        "FAST_live in active_grant_entry.slot",
        "Set without the entry's lock, as stock's flags are. Whoever sees a slot in use, live or "
        "not, sees the same record; who looks for a live one finds it or does not.",
        (
            *_read(
                "if ( likely(!|act->slots|) )\n        return slot;",
                "other = |act->slot[1]|;",
                "if ( !(|act->slot[1]| & FAST_live) )",
                "return |act->slot[0]| & FAST_live",
                "if ( !(|act->slot[0]| & FAST_live) )",
                "if ( (|act->slot[i]| & FAST_tag) == tag )",
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
    Mark(
        "grant_table.nr_grant_frames",
        "Only ever grows, and does so once what it covers is in place.",
        _read("return |gt->nr_grant_frames|;"),
    ),
)
