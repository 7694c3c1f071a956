/*
 * gnttab_set_version() against map_grant_ref(), with its undo_out path, unmap_common(), and
 * unmap_common_complete(), which hold the entry's lock but not the table lock.
 *
 * One entry that is not reserved, two vCPUs that map and unmap it, and one that switches the
 * version back and forth.  Not modelled: reserved entries, whose users hold the table lock; page
 * references; the walk over several entries, as an entry that was checked stays unpinned while
 * version_changing is set.
 *
 * Fails if a status word or a shared entry of another version than the
 * current one is used, if an entry is pinned during a switch, or if at the end the pin count or the
 * status is not 0.
 *
 * Variants, each of which must fail:
 *   NO_LOCK         reads the pin count without looking at the lock
 *   NO_FIRST_LOOK   does not look at the lock before it reads the pin count: a map that holds it has
 *                   yet to pin the entry
 *   NO_SECOND_LOOK  does not look at the lock after it has read the pin count as 0: an unmap that
 *                   holds it has yet to clear the status word
 *   NO_BARRIER      looks at the lock before its store to version_changing is visible
 *   LOCKED_IS_UNUSED   does not read the pin count again where it had to acquire the lock
 *   NO_FLAG         mapping does not check version_changing
 *   FLAG_BEFORE_LOCK, CLEARED_EARLY, STATUS_UNLOCKED   the flag is read before the lock is held; is
 *                 cleared before the switch is complete; the status is cleared without the lock
 */
#define CPUS 3
#define SWITCHER 2

#define CHANGING 0
#define VERSION 1
#define PIN 2
#define STATUS 3 /* the version it was set under; 0: neither reading nor writing */
#define ENTRY 4 /* and 5: act->lock */
#define WRITER 6
#define READER 7 /* and 8: CPUs that hold the table lock */
#define WORDS 9

/* The version of the shared and status pages; 0 during a switch. */
byte layout = 2;
byte done;

#define STORED(word, value) \
    assert(word != STATUS || value == layout); \
    assert(word != PIN || layout)
#include "tso.h"

/* percpu_read_lock(): drained() models its smp_mb(); waiting is abstracted */
inline read_lock(me)
{
    atomic { drained(me) && !memory[WRITER] -> memory[READER + me] = 1 }
}

inline clear_status(me, version)
{
    atomic { drained(me) -> assert(version == layout); memory[STATUS] = 0 }
}

proctype mapper(byte me)
{
    byte ticket, version, pin;
    bool table;

again:
    if
    :: table -> read_lock(me)
    :: else
    fi;
#ifdef FLAG_BEFORE_LOCK
    version = load(me, CHANGING);
#endif
    spin_lock(me, ENTRY, ticket);
#ifndef FLAG_BEFORE_LOCK
    version = load(me, CHANGING);
#endif
#ifndef NO_FLAG
    if
    :: version && !table ->
        spin_unlock(me, ENTRY, ticket);
        table = true;
        goto again
    :: else
    fi;
#endif
    version = load(me, VERSION);
    pin = load(me, PIN);
    if
    :: pin == 0 -> store(me, STATUS, version); fence(me) /* _set_status_v2(): smp_mb() */
    :: else
    fi;
    store(me, PIN, pin + 1);
    assert(version == layout); /* the frame number is read */
    spin_unlock(me, ENTRY, ticket);

    if
    :: table -> store(me, READER + me, 0)
    :: else
    fi;

    if
    :: true -> /* unmap_common(), if it completes the unmap, or unmap_common_complete() */
        table = false
    :: table -> /* undo_out */
        read_lock(me)
    :: true -> /* undo_out with the version read before */
        table = false;
        goto undo
    fi;
    spin_lock(me, ENTRY, ticket);
    version = load(me, VERSION);
    goto undone;
undo:
    spin_lock(me, ENTRY, ticket);
undone:
    pin = load(me, PIN) - 1;
    store(me, PIN, pin);
#ifdef STATUS_UNLOCKED
    spin_unlock(me, ENTRY, ticket);
#endif
    if
    :: pin == 0 -> clear_status(me, version)
    :: else
    fi;
#ifndef STATUS_UNLOCKED
    spin_unlock(me, ENTRY, ticket);
#endif
    if
    :: table -> store(me, READER + me, 0)
    :: else
    fi;
    version = 0; pin = 0; ticket = 0;
    drained(me) -> done++
}

/* spin_is_locked(): two loads, in either order */
inline look_at_lock(me, locked)
{
    if
    :: locked = load(me, HEAD(ENTRY)); locked = (locked != load(me, TAIL(ENTRY)))
    :: locked = load(me, TAIL(ENTRY)); locked = (locked != load(me, HEAD(ENTRY)))
    fi
}

proctype switcher()
{
    byte locked, pin, version, round;

    do
    :: round < 2 -> /* back and forth */
        atomic { drained(SWITCHER) && !memory[WRITER] -> memory[WRITER] = 1 };
        !memory[READER] && !memory[READER + 1];
        store(SWITCHER, CHANGING, 1);
#ifndef NO_BARRIER
        fence(SWITCHER);
#endif
#if !defined(NO_FIRST_LOOK) && !defined(NO_LOCK)
        look_at_lock(SWITCHER, locked);
        if
        :: locked -> goto acquire
        :: else
        fi;
#endif
        pin = load(SWITCHER, PIN);
#if !defined(NO_SECOND_LOOK) && !defined(NO_LOCK)
        if
        :: pin == 0 -> look_at_lock(SWITCHER, locked)
        :: else
        fi;
        if
        :: locked -> goto acquire
        :: else
        fi;
#endif
        goto checked;
acquire:
        spin_lock(SWITCHER, ENTRY, locked);
        pin = load(SWITCHER, PIN);
#ifdef LOCKED_IS_UNUSED
        pin = 0;
#endif
        spin_unlock(SWITCHER, ENTRY, locked);
checked:
        fence(SWITCHER);
        if :: pin != 0 -> goto out :: else fi;
        d_step { assert(memory[PIN] == 0); layout = 0 };
        /* Status frames are allocated or freed, shared pages are cleared. */
#ifdef CLEARED_EARLY
        store(SWITCHER, CHANGING, 0);
#endif
        version = 3 - load(SWITCHER, VERSION);
        store(SWITCHER, VERSION, version);
        d_step { assert(memory[PIN] == 0); layout = version };
out:
        store(SWITCHER, CHANGING, 0);
        store(SWITCHER, WRITER, 0);
        locked = 0; pin = 0; version = 0;
        round++
    :: else -> break
    od;
    drained(SWITCHER) -> done++
}

init {
    atomic { memory[VERSION] = 2; run mapper(0); run mapper(1); run switcher() };
    done == CPUS;
    assert(memory[PIN] == 0 && memory[STATUS] == 0)
}
