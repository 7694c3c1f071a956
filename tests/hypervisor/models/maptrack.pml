/*
 * A maptrack entry: map_grant_ref(), which fills it in with no lock held and its flags last;
 * unmap_common(), which looks at it first without a lock, and again with that of the active entry it
 * read there; and the handle, that goes to the free list and to another mapping meanwhile.
 *
 * Two references of one granter, two handles, a vCPU for each reference that maps it and unmaps what
 * it got, or gives up, and one that unmaps a handle, whatever it is by then.  The free list is a
 * set, whose lock makes it one step to take from it or put there.  Left out: the granter in an
 * entry, which is looked at as the reference is; host mappings; versions.
 * Fails if a mapping is undone under another entry's lock than its own, or before it is made, or
 * with other flags than it has, if a handle is put on the list that is there already, if more is
 * unpinned than was pinned, or if pins are not those of the handles in use, after all is done.
 *
 * Variants, each of them not enough:
 *   LINK_IN_REF   the free list's link, a handle, is in the field of the reference, and may be the
 *     same number.  It is: grant_table.c does this, stock as well as patched.  Flags are those of
 *     a mapping of another reference, it ends, and what is then taken for the reference is a link.
 *   FLAGS_FIRST   the flags are stored before the reference
 *   NO_FLAGS, NO_REF   with the lock held, flags or reference are not looked at again
 *   REF_FIRST   they are, but in the other order
 *   FLAGS_KEPT, FLAGS_LATE   the handle is free before its flags are cleared; cleared after the lock
 *   NO_LOCK   the lock is not taken to look and clear
 */
#define CPUS 3

#define FLAGS 0 /* of handle 0 and 1 */
#define REF 2 /* and 3, of the same */
#define PIN 4 /* and 5, of reference 0 and 1 */
#define ENTRY 6 /* to 9: their act->lock */
#define WORDS 10

#define RO 1 /* pinned this many times, so that what is undone tells what it was */
#define RW 2
#define NONE 2 /* MAPTRACK_TAIL: no reference */

bool unused[2] = { true, true };
byte whose[2], kind[2]; /* what a handle was given for: reference, and flags once made */
byte done;

#define STORED(word, value) skip
#include "tso.h"

inline put_handle(me, handle)
{
#ifdef LINK_IN_REF
    /* A tail, then whichever handle is next in the list. */
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
