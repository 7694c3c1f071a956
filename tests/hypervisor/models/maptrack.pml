/*
 * A maptrack entry: map_grant_ref() fills it in without a lock, its flags last; unmap_common()
 * reads it first without a lock, and again with the lock of the active entry that it names;
 * meanwhile the handle may return to the free list and be used for another mapping.
 *
 * Two references of one granter and two handles.  For each reference a vCPU maps it and unmaps its
 * handle, or fails to map; a third vCPU unmaps a handle, whatever its state.  The free list is a
 * set; taking and returning a handle is one step, as the list's lock makes it.  Not modelled: the
 * granter in an entry, which is checked like the reference; host mappings; versions.
 *
 * Fails if a
 * mapping is undone with the wrong entry locked, before it is made or with wrong flags, if a handle
 * is freed twice, if more is unpinned than was pinned, or if at the end the pins do not match the
 * handles in use.
 *
 * Variants, each of which must fail:
 *   LINK_IN_REF   the free list's link, a handle, is stored in the field of the reference and may be the
 *     same number.  grant_table.c does this, stock and patched: the flags are read from a mapping of
 *     another reference, that mapping ends, and the link is then taken for the reference.
 *   FLAGS_FIRST   the flags are stored before the reference
 *   NO_FLAGS, NO_REF   flags or reference are not rechecked with the lock held
 *   REF_FIRST   they are rechecked in the other order
 *   FLAGS_KEPT, FLAGS_LATE   flags are cleared after the handle is freed; after the lock is released
 *   NO_LOCK   the lock is not taken for the recheck and clearing the flags
 */
#define CPUS 3

#define FLAGS 0 /* and 1: of the handles */
#define REF 2 /* and 3: of the handles */
#define PIN 4 /* and 5: of the references */
#define ENTRY 6 /* to 9: act->lock of the references */
#define WORDS 10

#define RO 1 /* amount added to PIN, which differs by kind */
#define RW 2
#define NONE 2 /* MAPTRACK_TAIL: no reference */

bool unused[2] = { true, true };
byte whose[2], kind[2]; /* reference of a handle, and its flags once the mapping is made */
byte done;

#define STORED(word, value) skip
#include "tso.h"

inline put_handle(me, handle)
{
#ifdef LINK_IN_REF
    /* First the tail marker, then the next handle in the list. */
    store(me, REF + handle, NONE);
    if :: link = 0 :: link = 1 fi;
    store(me, REF + handle, link);
    link = 0;
#endif
    atomic { drained(me) -> assert(!unused[handle]); unused[handle] = true }
}

inline map(me, handle, ref, flags, ticket, pin)
{
    spin_lock(me, ENTRY + 2 * ref, ticket);
    atomic {
        drained(me) ->
        if
        :: unused[0] -> unused[0] = false; handle = 0
        :: unused[1] -> unused[1] = false; handle = 1
        :: else -> handle = NONE
        fi
    };
    if
    :: handle != NONE -> pin = load(me, PIN + ref); store(me, PIN + ref, pin + flags)
    :: else
    fi;
    spin_unlock(me, ENTRY + 2 * ref, ticket);
    if
    :: handle != NONE ->
        d_step { whose[handle] = ref; kind[handle] = flags };
#ifdef FLAGS_FIRST
        store(me, FLAGS + handle, flags);
#endif
        store(me, REF + handle, ref);
#ifndef FLAGS_FIRST
        store(me, FLAGS + handle, flags)
#endif
    :: handle != NONE -> /* undo_out */
        spin_lock(me, ENTRY + 2 * ref, ticket);
        pin = load(me, PIN + ref);
        store(me, PIN + ref, pin - flags);
        spin_unlock(me, ENTRY + 2 * ref, ticket);
        put_handle(me, handle)
    :: else
    fi;
    ref = 0; pin = 0; ticket = 0; flags = 0
}

inline unmap(me, handle, ref, flags, ticket, pin)
{
    flags = load(me, FLAGS + handle);
    ref = load(me, REF + handle);
    if
    :: flags && ref != NONE -> /* within bounds */
#ifndef NO_LOCK
        spin_lock(me, ENTRY + 2 * ref, ticket);
#endif
#if defined(REF_FIRST)
        pin = load(me, REF + handle);
        flags = load(me, FLAGS + handle);
#elif defined(NO_FLAGS)
        pin = load(me, REF + handle);
#elif defined(NO_REF)
        flags = load(me, FLAGS + handle);
        pin = ref;
#else
        flags = load(me, FLAGS + handle);
        pin = load(me, REF + handle);
#endif
        if
        :: flags && pin == ref ->
            assert(!unused[handle] && whose[handle] == ref && kind[handle] == flags);
#ifdef FLAGS_KEPT
            put_handle(me, handle);
#endif
#ifndef FLAGS_LATE
            store(me, FLAGS + handle, 0);
#endif
        :: else -> flags = 0
        fi;
#ifndef NO_LOCK
        spin_unlock(me, ENTRY + 2 * ref, ticket);
#endif
        if
        :: flags ->
#ifdef FLAGS_LATE
            store(me, FLAGS + handle, 0);
#endif
#ifndef FLAGS_KEPT
            put_handle(me, handle);
#endif
            spin_lock(me, ENTRY + 2 * ref, ticket); /* unmap_common_complete() */
            pin = load(me, PIN + ref);
            assert(pin >= flags);
            store(me, PIN + ref, pin - flags);
            spin_unlock(me, ENTRY + 2 * ref, ticket)
        :: else
        fi
    :: else
    fi;
    ref = 0; pin = 0; ticket = 0; flags = 0
}

proctype vcpu(byte me)
{
    byte handle, ref, flags, ticket, pin, link;

    if
    :: me == 0 -> ref = 1; flags = RO; map(me, handle, ref, flags, ticket, pin)
    :: me == 1 -> flags = RW; map(me, handle, ref, flags, ticket, pin)
    :: else /* guesses: handles are alike */
    fi;
    if :: handle == NONE -> handle = 0 :: else fi;
    unmap(me, handle, ref, flags, ticket, pin);
    handle = 0;
    drained(me) -> done++
}

#define pinned(ref) \
    ((!unused[0] && whose[0] == ref -> kind[0] : 0) + (!unused[1] && whose[1] == ref -> kind[1] : 0))

init {
    atomic { run vcpu(0); run vcpu(1); run vcpu(2) };
    done == CPUS;
    assert(memory[PIN] == pinned(0) && memory[PIN + 1] == pinned(1))
}
