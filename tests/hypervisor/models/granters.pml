/*
 * note_granter() and alloc_granters() on two vCPUs of a mapper, each of which then puts a mapping
 * into a slot, and release_fast_mappings() once they have stopped.
 *
 * Two granters with one entry each, which has a slot for either vCPU, and a page with the bitmap,
 * which the first vCPU allocates; the allocation may fail.  Not modelled: locks of entries
 * (destruction.pml).
 *
 * Fails if a slot is still in use after the destruction, or if a page is leaked.
 *
 * Variants, each of which must fail:
 *   NO_LOCK, NO_RECHECK   the page is allocated without the lock; without a second check under it
 *   POINTER_FIRST   the page is published before it is cleared
 *   PLAIN_BIT   the bit is not set by a locked operation
 *   BIT_LAST   the bit is set after the slot is in use, when the allocation may still fail
 *   NO_PAUSE, STOPPED_EARLY   the vCPUs are not stopped; count as stopped before a slot is visible
 */
#define CPUS 3
#define DESTROYER 2

#define POINTER 0 /* gt->granters: number of the vCPU that allocated it, plus 1; 0: NULL */
#define BITS 1 /* and 2: the pages that the vCPUs allocate */
#define SLOT 3 /* and 4: slots of vCPU 0 in the granters' entries; 5 and 6: slots of vCPU 1 */
#define STOPPED 7 /* and 8 */
#define LOCK 9 /* and 10: maptrack_lock */
#define WORDS 11

byte pages, done;

#define STORED(word, value) skip
#include "tso.h"

inline note_granter(me, granter, page, ticket)
{
    page = load(me, POINTER);
    if
    :: !page -> /* alloc_granters() */
#ifndef NO_LOCK
        spin_lock(me, LOCK, ticket);
#endif
#ifndef NO_RECHECK
        page = load(me, POINTER);
#endif
        if
        :: !page ->
            pages++;
            page = me + 1;
#ifdef POINTER_FIRST
            store(me, POINTER, page);
#endif
            store(me, BITS + me, 0); /* clear_page() */
#ifndef POINTER_FIRST
            store(me, POINTER, page)
#endif
        :: true /* already allocated, or no memory */
        fi;
#ifndef NO_LOCK
        spin_unlock(me, LOCK, ticket)
#endif
    :: else
    fi;
    if
    :: page && !(load(me, BITS + page - 1) & (1 << granter)) ->
#ifdef PLAIN_BIT
        ticket = load(me, BITS + page - 1);
        store(me, BITS + page - 1, ticket | (1 << granter))
#else
        atomic {
            drained(me);
            memory[BITS + page - 1] = memory[BITS + page - 1] | (1 << granter)
        }
#endif
    :: else
    fi
}

proctype mapper(byte me)
{
    byte page, ticket, granter;

    if :: granter = 0 :: granter = 1 fi;
#ifdef STOPPED_EARLY
    store(me, STOPPED + me, 1);
#endif
#ifdef BIT_LAST
    page = 1;
#else
    note_granter(me, granter, page, ticket);
#endif
    if
    :: page -> store(me, SLOT + 2 * me + granter, 1)
    :: else /* goes into the maptrack table */
    fi;
#ifdef BIT_LAST
    note_granter(me, granter, page, ticket);
#endif
#ifndef STOPPED_EARLY
    store(me, STOPPED + me, 1);
#endif
    drained(me) -> done++
}

proctype destroyer()
{
    byte page, granter;

#ifndef NO_PAUSE
    load(DESTROYER, STOPPED);
    load(DESTROYER, STOPPED + 1);
#endif
    page = load(DESTROYER, POINTER);
    if
    :: page ->
        do
        :: granter < 2 ->
            if
            :: load(DESTROYER, BITS + page - 1) & (1 << granter) ->
                store(DESTROYER, SLOT + granter, 0);
                store(DESTROYER, SLOT + 2 + granter, 0)
            :: else
            fi;
            granter++
        :: else -> break
        od;
        store(DESTROYER, POINTER, 0);
        pages--
    :: else
    fi;
    drained(DESTROYER) -> done++
}

init {
    atomic {
        memory[BITS] = 3; /* uninitialised memory */
        memory[BITS + 1] = 3;
        run mapper(0); run mapper(1); run destroyer()
    };
    done == CPUS;
    assert(!memory[SLOT] && !memory[SLOT + 1] && !memory[SLOT + 2] && !memory[SLOT + 3]);
    assert(pages == 0)
}
