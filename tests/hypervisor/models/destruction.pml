/*
 * release_fast_page(), which reads slots before it takes the entry's lock, for a dying mapper that
 * has mapped the entry and may have unmapped it, while another domain maps the entry when it is not
 * pinned; then a new domain with the mapper's domid uses the old handle.
 *
 * One entry; one vCPU each of the dying mapper and of the other domain.  The mapper has no
 * hypercall in progress once it has stopped.  Not modelled: granters (granters.pml), versions.
 * Fails if a slot is released for a domain that does not own it, if a slot in use has no pin or the
 * status does not match the pins, or if a slot is left when the domid is reused.
 *
 * Variants, each of which must fail:
 *   NO_PAUSE, PEEK_FIRST   the mapper is not stopped; stopped only after the first read of slots
 *   NO_DOMID, DOMID_EARLY   act->domid is not checked; is read before the lock is held
 *   NO_LOCK   the lock is not taken
 *   STOPPED_EARLY   the mapper counts as stopped before its mapping is visible
 *   FIRST_ONLY   the second slot is not checked when the first is empty
 */
#define CPUS 3
#define MAPPER 0 /* vCPUs, and domids */
#define OTHER 1
#define DESTROYER 2

#define SLOT 0 /* and 1; not 0: live, as the mapper is not stopped between reserving and live */
#define PIN 2
#define DOMID 3
#define STOPPED 4
#define ENTRY 5 /* and 6: act->lock */
#define STATUS 7 /* status word: whether the entry is in use */
#define WORDS 8

byte done;

#define slots() (memory[SLOT] + memory[SLOT + 1])
#define STORED(word, value) \
    assert(word != ENTRY || memory[PIN] >= slots() && memory[STATUS] == (memory[PIN] != 0))
#include "tso.h"

/* A locked operation, as the granter may write there too. */
inline set_status(me, value)
{
    atomic { drained(me) -> memory[STATUS] = value }
}

inline map(me, mapped, pin, ticket)
{
    spin_lock(me, ENTRY, ticket);
    pin = load(me, PIN);
    if
    :: pin && load(me, DOMID) != me -> skip
    :: else ->
        if :: !pin -> set_status(me, 1); store(me, DOMID, me) :: else fi;
        store(me, PIN, pin + 1);
        if
        :: load(me, SLOT) -> store(me, SLOT + 1, 1)
        :: else -> store(me, SLOT, 1)
        fi;
        mapped++
    fi;
    spin_unlock(me, ENTRY, ticket)
}

/* unmap_common() and unmap_common_complete() in one step; unmap_race.pml models them separately. */
inline unmap(me, mapped, pin, ticket)
{
    spin_lock(me, ENTRY, ticket);
    assert(load(me, DOMID) == me && (load(me, SLOT) || load(me, SLOT + 1)));
    if
    :: load(me, SLOT) -> store(me, SLOT, 0)
    :: load(me, SLOT + 1) -> store(me, SLOT + 1, 0)
    fi;
    pin = load(me, PIN);
    store(me, PIN, pin - 1);
    if :: pin == 1 -> set_status(me, 0) :: else fi;
    spin_unlock(me, ENTRY, ticket);
    mapped--
}

proctype vcpu(byte me)
{
    byte mapped, pin, ticket, round;

    do
    :: round < 2 -> map(me, mapped, pin, ticket); round++
    :: me == OTHER && mapped == 2 -> unmap(me, mapped, pin, ticket)
    :: me == MAPPER && mapped -> unmap(me, mapped, pin, ticket)
    :: true -> break
    od;
#ifdef STOPPED_EARLY
    if :: me == MAPPER -> store(me, STOPPED, 1) :: else fi;
    if :: round < 2 -> map(me, mapped, pin, ticket) :: else fi;
#else
    if :: me == MAPPER -> store(me, STOPPED, 1) :: else fi;
#endif
    /* The other domain unmaps its remaining mappings. */
    if
    :: me == OTHER ->
        do
        :: mapped -> unmap(me, mapped, pin, ticket)
        :: else -> break
        od
    :: else
    fi;
    mapped = 0; pin = 0; ticket = 0; round = 0;
    drained(me) -> done++
}

proctype destroyer()
{
    byte first, second, domid, pin, ticket;

#if !defined(NO_PAUSE) && !defined(PEEK_FIRST)
    load(DESTROYER, STOPPED);
#endif
#ifdef DOMID_EARLY
    domid = load(DESTROYER, DOMID);
#endif
    first = load(DESTROYER, SLOT) + load(DESTROYER, SLOT + 1); /* one read, of act->slots */
#ifdef FIRST_ONLY
    first = load(DESTROYER, SLOT);
#endif
#ifdef PEEK_FIRST
    load(DESTROYER, STOPPED);
#endif
    if
    :: first ->
#ifndef NO_LOCK
        spin_lock(DESTROYER, ENTRY, ticket);
#endif
#ifndef DOMID_EARLY
        domid = load(DESTROYER, DOMID);
#endif
#ifdef NO_DOMID
        domid = MAPPER;
#endif
        first = load(DESTROYER, SLOT);
        second = load(DESTROYER, SLOT + 1);
        if
        :: domid == MAPPER ->
            assert(first + second == 0 || memory[DOMID] == MAPPER);
            store(DESTROYER, SLOT, 0);
            store(DESTROYER, SLOT + 1, 0);
            pin = load(DESTROYER, PIN);
            assert(pin >= first + second);
            store(DESTROYER, PIN, pin - first - second);
            if :: pin == first + second -> set_status(DESTROYER, 0) :: else fi
        :: else
        fi;
#ifndef NO_LOCK
        spin_unlock(DESTROYER, ENTRY, ticket)
#endif
    :: else
    fi;

    /* A new domain with this domid uses the handle. */
    spin_lock(DESTROYER, ENTRY, ticket);
    assert(load(DESTROYER, DOMID) != MAPPER || !(load(DESTROYER, SLOT) || load(DESTROYER, SLOT + 1)));
    spin_unlock(DESTROYER, ENTRY, ticket);
    drained(DESTROYER) -> done++
}

init {
    atomic { run vcpu(MAPPER); run vcpu(OTHER); run destroyer() };
    done == CPUS;
    assert(!memory[PIN] && !slots())
}
