/*
 * Two vCPUs of a mapper that unmap with the same handle, at the same address or different ones, and
 * a domain that maps the entry once it is not pinned: unmap_common(), unmap_common_complete(), and
 * the part of map_grant_ref() that holds the entry's lock.
 *
 * One mapping or two: host mappings with equal or different flags, or device mappings, for which
 * only the slot determines what to unmap.
 *
 * Fails if a slot is taken by a domain that does not own
 * it, if more is unpinned than was pinned, if a pinned mapping has no slot or a slot in use has no
 * pin, or if at the end a pin count is wrong.
 *
 * Variants, each of which must fail:
 *   NO_LOCK, LOOK_EARLY   the slot is found and cleared without the lock; found before it is held
 *   CLEARED_LATE   the slot is cleared after the lock is released
 *   UNPIN_UNLOCKED   unmap_common_complete() does not take the lock
 *   NO_DOMID, DOMID_EARLY   act->domid is not checked; is read before the lock is held
 */
#define CPUS 3
#define MAPPER 0 /* the domain of vCPUs 0 and 1 */
#define OTHER 1 /* that of vCPU 2 */

#define SLOT 0 /* and 1 */
#define PIN 2
#define DOMID 3
#define ENTRY 4 /* and 5: act->lock */
#define WORDS 6

#define RW 1 /* pinned once for writing; a slot in use has the bit of its kind */
#define RO 4 /* pinned once for reading */
#define TAG 16
#define KIND (RW | RO)
#define NONE 2

bool device; /* device mappings, without PTEs to check */
bool alike; /* the addresses have the same tag */
byte host[2]; /* at address 0 and 1, its kind */
byte done;

#define tag_of(address) (TAG * (address && !alike))
#define in_slot(slot) (memory[SLOT + slot] & KIND)
#define STORED(word, value) skip
#include "tso.h"

#define tagged(me, slot, address) ((load(me, SLOT + slot) & TAG) == tag_of(address))
#define same_kind(me) (((load(me, SLOT) ^ load(me, SLOT + 1)) & KIND) == 0)

inline find(me, slot, kind, address) /* fast_slot_find() */
{
    slot = (!load(me, SLOT + 1) -> (load(me, SLOT) -> 0 : NONE) :
            (!load(me, SLOT) -> 1 :
             (tagged(me, 0, address) -> 0 :
              (tagged(me, 1, address) -> 1 : (same_kind(me) -> 0 : NONE)))));
    if :: slot != NONE -> kind = load(me, SLOT + slot) & KIND :: else fi
}

inline unmap(me, domid, address, slot, kind, pin, ticket)
{
    byte seen;

#ifdef LOOK_EARLY
    find(me, slot, kind, address);
#endif
#ifdef DOMID_EARLY
    seen = load(me, DOMID);
#endif
#ifndef NO_LOCK
    spin_lock(me, ENTRY, ticket);
#endif
#ifndef LOOK_EARLY
    find(me, slot, kind, address);
#endif
#ifndef DOMID_EARLY
    seen = load(me, DOMID);
#endif
#ifndef NO_DOMID
    if :: seen != domid -> slot = NONE :: else fi;
#endif
    if
    :: slot != NONE ->
        d_step {
            assert(memory[DOMID] == domid);
            if /* replace_grant_host_mapping(): an atomic PTE update */
            :: device || domid == OTHER
            :: !device && domid == MAPPER && host[address] == kind -> host[address] = 0
            :: else -> slot = NONE
            fi
        }
    :: else
    fi;
#ifndef CLEARED_LATE
    if :: slot != NONE -> store(me, SLOT + slot, 0) :: else fi;
#endif
#ifndef NO_LOCK
    spin_unlock(me, ENTRY, ticket);
#endif

    if
    :: slot != NONE -> /* unmap_common_complete() */
#ifdef CLEARED_LATE
        store(me, SLOT + slot, 0);
#endif
#ifndef UNPIN_UNLOCKED
        spin_lock(me, ENTRY, ticket);
#endif
        pin = load(me, PIN);
        assert(pin & (kind | kind << 1));
        store(me, PIN, pin - kind);
#ifndef UNPIN_UNLOCKED
        spin_unlock(me, ENTRY, ticket)
#endif
    :: else
    fi;
    seen = 0; slot = 0; kind = 0; pin = 0; ticket = 0
}

proctype unmapper(byte me)
{
    byte address, slot, kind, pin, ticket, round;

    do
    :: round < 2 ->
        if :: address = 0 :: address = 1 fi;
        unmap(me, MAPPER, address, slot, kind, pin, ticket);
        round++
    :: else -> break
    od;
    drained(me) -> done++
}

proctype other(byte me)
{
    byte slot, kind, pin, ticket;

    spin_lock(me, ENTRY, ticket);
    pin = load(me, PIN);
    if
    :: pin == 0 ->
        assert(!load(me, SLOT) && !load(me, SLOT + 1));
        store(me, DOMID, OTHER);
        store(me, PIN, RW);
        store(me, SLOT, RW)
    :: else
    fi;
    spin_unlock(me, ENTRY, ticket);
    if
    :: pin == 0 -> unmap(me, OTHER, 0, slot, kind, pin, ticket)
    :: true
    fi;
    drained(me) -> done++
}

inline mapped(address, kind)
{
    memory[SLOT + address] = kind + tag_of(address);
    memory[PIN] = memory[PIN] + kind;
    if :: !device -> host[address] = kind :: else fi
}

init {
    atomic {
        if :: device = true :: alike = true :: true fi;
        if
        :: mapped(0, RW) /* one */
        :: mapped(0, RW); mapped(1, RW)
        :: !device && !alike -> mapped(0, RW); mapped(1, RO)
        fi;
        run unmapper(0); run unmapper(1); run other(2)
    };
    done == CPUS;
    assert(memory[PIN] == in_slot(0) + in_slot(1));
    assert(device || memory[DOMID] == OTHER || memory[PIN] == host[0] + host[1])
}
