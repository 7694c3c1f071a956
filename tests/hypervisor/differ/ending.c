/* How a domain ends, and another begins in its place. */
#include "steps.h"
#include "world.h"

void end_domain(unsigned int d)
{
    struct domain_seen seen, granter;
    unsigned int uncounted = 0;

    drop_held(d);
    patched.see_domain(domids[d], &seen);
    /* Which step is the last may differ: progress is made in other pieces. */
    for ( unsigned int side = 0; side < 2; side++ )
        for ( unsigned int i = 0; !(side ? &patched : &stock)->kill(domids[d]); i++ )
        {
            if ( i > 1000000 )
            {
                differs("a domain does not end", !side, side);
                return;
            }
            /* Before the last step, all that it had mapped has been released. */
            patched.see_domain(domids[d], &seen);
        }
    for ( unsigned int i = 0; i < nr_mappings; i++ )
        if ( mappings[i].mapper == d )
        {
            uncounted += mappings[i].live && mappings[i].handle[1] >> 31 &&
                         !patched.see_domain(domids[mappings[i].granter], &granter);
            mappings[i].live = false;
        }
    nr_live[d][0] = 0;
    nr_live[d][1] = seen.fast;
    if ( seen.crashed )
        return;
    same("slow mappings counted at the end", 0, seen.slow);
    /* What had a granter that is gone by now, it may not have looked at, nor counted as undone. */
    if ( seen.fast > uncounted )
        differs("fast mappings counted at the end", uncounted, seen.fast);
}

/*
 * A PV domain that overwrites the PTE of a mapping has no more than the record of it, with which the
 * granter can be gone.  Xen takes another domain of its domid for it.
 */
static bool recorded(unsigned int granter)
{
    for ( unsigned int i = 0; i < nr_mappings; i++ )
        if ( mappings[i].live && mappings[i].granter == granter )
            return true;
    return false;
}

void step_end(const struct step *s)
{
    unsigned int d = s->other % NR_DOMAINS;
    struct domain_seen seen;

    /* Not too often: what has been built up is gone with it. */
    if ( s->more % 8 && stock.see_domain(domids[d], &seen) )
        return;
    /* A bus address has a reference to its page, and so a page its domain: not so on stock. */
    if ( own_bus(0, d) && recorded(d) )
        return;
    if ( stock.see_domain(domids[d], &seen) )
        end_domain(d);
    if ( !stock.see_domain(domids[d], &seen) && !recorded(d) )
    {
        kinds[d] = s->flags % 4 == 3   ? MAPLESS
                   : s->flags % 8 == 1 ? FEW_HANDLES
                   : s->flags % 8 == 2 ? VERSION_1
                                       : USUAL;
        create(d);
    }
    count(END, 0);
}
