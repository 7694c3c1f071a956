/*
 * gnttab_grow_table(), with the table lock held, against map_grant_ref() and unmap_common(), which
 * check the bounds of a reference without it.
 *
 * A version 2 table grows by a frame; the first attempt may run out of memory.  One CPU maps a
 * reference in the new frame, another unmaps one there by a guessed handle.  Active entries are as
 * many as version 1 has references, so half of a frame's active entries have their shared entries
 * in the next frame. Not modelled: concurrent growth, which the table lock excludes, and reserved
 * entries.
 *
 * Fails if a page is used that does not exist or is not cleared.
 *
 * Variants, each of which must fail:
 *   BOUND_FIRST, BOUND_SECOND   the bound is raised before all pages; before the status pages
 *   CLEARED_LAST   the page of active entries is cleared and its locks initialised after the bound
 *   PAGE_FIRST   pages are looked up before the bound is checked
 *   SPARSE_BOUND   shared and status pages are used without the bound of version 2
 */
#define CPUS 3
#define GROWER 2

#define BOUND 0 /* nr_grant_frames; 1 at first */
#define ACTIVE 1 /* pages beyond those of the first frame; 0: none */
#define LOCKS 2 /* locks of the active page are initialised */
#define SHARED 3
#define STATUS 4
#define WORDS 5

byte done;

#define STORED(word, value) skip
#include "tso.h"

/* Number of active entries: that of version 1 references. */
#define REFS(frames) (2 * (frames))
/* Number of version 2 references, whose shared entries are twice as large. */
#define REFS_V2(frames) (frames)

/* Uses a reference of the second frame or of the second half of the first frame. */
proctype user(byte me; bool maps)
{
    byte ref, bound, entries, shared, round;

    do
    :: round < 2 ->
        if :: ref = 1 :: ref = 2 fi;
#ifdef PAGE_FIRST
        entries = load(me, ACTIVE);
#endif
        bound = load(me, BOUND); /* nr_active_entries(), smp_rmb() */
        if
        :: ref < REFS(bound) ->
#ifndef PAGE_FIRST
            entries = load(me, ACTIVE);
#endif
            if
            :: ref >= REFS(1) -> assert(entries); assert(load(me, LOCKS)); fence(me)
            :: else -> fence(me) /* active_entry_acquire() */
            fi;
            if
            :: maps ->
#ifndef SPARSE_BOUND
                bound = load(me, BOUND); /* nr_grant_entries() */
                if
                :: ref < REFS_V2(bound) ->
#endif
                    shared = load(me, SHARED);
                    assert(shared);
                    shared = load(me, STATUS);
                    assert(shared)
#ifndef SPARSE_BOUND
                :: else
                fi
#endif
            :: else
            fi
        :: else
        fi;
        round++
    :: else -> break
    od;
    done++
}

proctype grower()
{
    bool failed;

again:
#ifdef BOUND_FIRST
    store(GROWER, BOUND, 2);
#endif
#ifndef CLEARED_LAST
    store(GROWER, LOCKS, 1);
#endif
    store(GROWER, ACTIVE, 1);
    store(GROWER, SHARED, 1);
#ifdef BOUND_SECOND
    store(GROWER, BOUND, 2);
#endif
    if
    :: !failed -> /* allocation of a status page fails */
        store(GROWER, SHARED, 0);
        store(GROWER, ACTIVE, 0);
        store(GROWER, LOCKS, 0);
#if defined(BOUND_FIRST) || defined(BOUND_SECOND)
        store(GROWER, BOUND, 1);
#endif
        failed = true;
        goto again
    :: true -> store(GROWER, STATUS, 1)
    fi;
    store(GROWER, BOUND, 2);
#ifdef CLEARED_LAST
    store(GROWER, LOCKS, 1);
#endif
    drained(GROWER) -> done++
}

init {
    atomic { memory[BOUND] = 1; run user(0, true); run user(1, false); run grower() };
    done == CPUS
}
