/*
 * map_grant_ref(), which reserves a slot with the entry's lock held and makes it live without the
 * lock; unmap_common() and unmap_common_complete() with the handle, which can be guessed while a
 * mapping is still being made.
 *
 * One entry; two vCPUs of a mapper that map and then unmap it, and one that only unmaps, each at
 * any address.  Both mappings have the same flags, so either slot fits both.  Not modelled: tags,
 * versions, the maptrack table, undoing a mapping whose host mapping exists.
 *
 * Fails if a slot is
 * unmapped before its mapping is made, if an unlocked entry has fewer pins than slots in use, if
 * more is unpinned than was pinned, or if at the end the numbers of pins, slots in use and host
 * mappings differ.
 *
 * Variants, each of which must fail:
 *   LIVE_AT_ONCE, LIVE_EARLY   live when reserved; live before the host mapping exists
 *   RESERVED_TAKEN   unmapping takes a slot that is only reserved
 *   NOT_RESERVED     the slot is written only when live
 *   WIDE_STORE       making a slot live reads and writes both slots
 *   UNDO_KEEPS, UNDO_UNLOCKED   undoing does not free the slot; frees it after the lock is released
 */
#define CPUS 3

#define SLOT 0 /* and 1: they share a 32-bit word, but are stored separately */
#define PIN 2
#define ENTRY 3 /* and 4: act->lock */
#define WORDS 5

#define USED 1
#define LIVE 2
#define NONE 2 /* no slot */

bool host[CPUS]; /* host mapping of each vCPU, at its own address */
bool made[2]; /* whether the mapping of a slot is complete */
byte done;

#define used(slot) (memory[SLOT + slot] != 0)
#define STORED(word, value) \
    assert(word != ENTRY || memory[PIN] >= used(0) + used(1))
#include "tso.h"

inline make(slot, address)
{
    d_step { host[address] = true; made[slot] = true }
}

inline map(me, slot, pin, ticket)
{
    spin_lock(me, ENTRY, ticket);
    if
    :: load(me, SLOT) == 0 -> slot = 0 /* fast_slot_get() */
    :: load(me, SLOT) && load(me, SLOT + 1) == 0 -> slot = 1
    :: load(me, SLOT) && load(me, SLOT + 1) -> slot = NONE
    fi;
    if
    :: slot != NONE ->
        pin = load(me, PIN);
        store(me, PIN, pin + 1);
#if defined(LIVE_AT_ONCE)
        store(me, SLOT + slot, USED | LIVE);
#elif !defined(NOT_RESERVED)
        store(me, SLOT + slot, USED);
#endif
    :: else
    fi;
    spin_unlock(me, ENTRY, ticket);

    if
    :: slot != NONE ->
#ifdef LIVE_EARLY
        store(me, SLOT + slot, USED | LIVE);
#endif
        make(slot, me);
#ifdef WIDE_STORE
        d_step { ticket = load(me, SLOT + 1 - slot); pin = USED | LIVE };
        atomic {
            drained(me); /* both stores become visible together */
            store(me, SLOT + 1 - slot, ticket);
            store(me, SLOT + slot, pin)
        }
#elif !defined(LIVE_AT_ONCE) && !defined(LIVE_EARLY)
        store(me, SLOT + slot, USED | LIVE)
#endif
    :: slot != NONE -> /* undo_out */
        spin_lock(me, ENTRY, ticket);
        pin = load(me, PIN);
        store(me, PIN, pin - 1);
#if !defined(UNDO_KEEPS) && !defined(UNDO_UNLOCKED)
        store(me, SLOT + slot, 0);
#endif
        spin_unlock(me, ENTRY, ticket);
#ifdef UNDO_UNLOCKED
        store(me, SLOT + slot, 0)
#endif
    :: else
    fi
}

#ifdef RESERVED_TAKEN
#define live(me, slot) (load(me, SLOT + slot) & USED)
#else
#define live(me, slot) (load(me, SLOT + slot) & LIVE)
#endif

inline unmap(me, slot, pin, ticket)
{
    spin_lock(me, ENTRY, ticket);
    if /* fast_slot_find(): a live slot stays live with the lock held */
    :: !live(me, 1) -> if :: live(me, 0) -> slot = 0 :: else -> slot = NONE fi
    :: else -> if :: live(me, 0) -> slot = 0 :: slot = 1 fi
    fi;
    if
    :: slot != NONE ->
        d_step { /* replace_grant_host_mapping(): an atomic PTE update */
            assert(made[slot]);
            if
            :: host[0] && pin == 0 -> host[0] = false
            :: host[1] && pin == 1 -> host[1] = false
            :: else -> slot = NONE /* not mapped at this address */
            fi
        }
    :: else
    fi;
    if :: slot != NONE -> made[slot] = false; store(me, SLOT + slot, 0) :: else fi;
    spin_unlock(me, ENTRY, ticket);

    if
    :: slot != NONE -> /* unmap_common_complete() */
        spin_lock(me, ENTRY, ticket);
        pin = load(me, PIN);
        assert(pin);
        store(me, PIN, pin - 1);
        spin_unlock(me, ENTRY, ticket)
    :: else
    fi
}

proctype vcpu(byte me)
{
    byte slot, pin, ticket;

    if
    :: me != 2 -> map(me, slot, pin, ticket)
    :: else -> if :: pin = 0 :: pin = 1 fi; unmap(me, slot, pin, ticket)
    fi;
    if :: pin = 0 :: pin = 1 fi; /* the address */
    unmap(me, slot, pin, ticket);
    slot = 0; pin = 0; ticket = 0;
    drained(me) -> done++
}

init {
    atomic { run vcpu(0); run vcpu(1); run vcpu(2) };
    done == CPUS;
    assert(memory[PIN] == used(0) + used(1) && memory[PIN] == host[0] + host[1])
}
