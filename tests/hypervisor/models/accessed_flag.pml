/*
 * replace_grant_pv_mapping() with gnttab=skip-flush, and the TLB of a CPU that accesses the page
 * while it is unmapped.
 *
 * One PTE, one CPU that accesses the page a few times, and one vCPU that maps the page and unmaps
 * it again, twice.  The CPU's page walk is as Intel and AMD document it: it reads the PTE, sets the
 * accessed flag with a locked update if it is clear and the entry has not changed, and only then
 * uses and caches the translation, until its TLB is flushed.  A flush is an interrupt, so it does
 * not happen in the middle of a walk.  Not modelled: several PTEs in one batch, which share the
 * decision; dirty flags; upper levels, which stay as they are.
 *
 * Fails if the page is accessed after its granter may have reused it, or if the flag of an entry is
 * set that is not present.
 *
 * Variants, each of which must fail:
 *   FLAG_BEFORE_CLEARING  the flag is read by a load of its own, before the entry is cleared
 *   NO_FLUSH_AT_ALL       nothing is flushed, whatever the flag
 *   FLUSH_AFTER_RELEASE   the page is released before the TLB is flushed
 *   FLAG_LEFT_BEHIND      the accessed flag is preserved when the entry is cleared
 */
#define ACCESSES 3
#define MAPPINGS 2

/* The PTE. */
bool present, accessed;
/* Whether the CPU has cached the translation, and whether it is walking page tables. */
bool cached, walking;
/* Whether the mapper may access the page. */
bool granted;

proctype cpu()
{
    byte n;
    bool was_present, was_accessed, found;

    for ( n : 1 .. ACCESSES )
    {
        if
        :: cached = false /* evicted */
        :: true
        fi;
        if
        :: atomic { cached -> assert(granted) }
        :: atomic { !cached -> walking = true; was_present = present; was_accessed = accessed };
            found = was_present && was_accessed;
            if
            :: was_present && !was_accessed ->
                /* A locked update; if the entry has changed, the walk starts over, or faults. */
                atomic {
                    if
                    :: present -> accessed = true; found = true
                    :: else
                    fi
                }
            :: else
            fi;
            if
            :: found -> atomic { assert(granted); cached = true }
            :: else
            fi;
            walking = false
        fi
    }
}

inline flush()
{
    atomic { !walking -> cached = false }
}

inline release()
{
    granted = false
}

proctype mapper()
{
    byte n;
    bool old_accessed;

    for ( n : 1 .. MAPPINGS )
    {
        granted = true;
        atomic { assert(!present && !accessed); present = true };

#ifdef FLAG_BEFORE_CLEARING
        old_accessed = accessed;
        atomic { present = false; accessed = false };
#elif defined(FLAG_LEFT_BEHIND)
        atomic { old_accessed = accessed; present = false };
#else
        atomic { old_accessed = accessed; present = false; accessed = false };
#endif
        assert(!accessed);

#ifdef FLUSH_AFTER_RELEASE
        release();
#endif
#ifndef NO_FLUSH_AT_ALL
        if
        :: old_accessed -> flush()
        :: else
        fi;
#endif
        release()
    }
}

init
{
    run cpu();
    run mapper()
}
