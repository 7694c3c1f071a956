/* Destruction of a domain and creation of its successor. */
#include "steps.h"
#include "world.h"

void destroy_domain(unsigned int d)
{
    struct domain_state state, granter;
    unsigned int uncounted = 0;

    drop_held_frame(d);
    patched.read_domain(domids[d], &state);
    /* The number of steps may differ, as the patched hypervisor splits the work differently. */
    for ( unsigned int side = 0; side < 2; side++ )
        for ( unsigned int i = 0; !(side ? &patched : &stock)->destroy_step(domids[d]); i++ )
        {
            if ( i > 1000000 )
            {
                report_difference("destruction does not finish", !side, side);
                return;
            }
            /* Before the last step, all its mappings have been released. */
            patched.read_domain(domids[d], &state);
        }
    for ( unsigned int i = 0; i < nr_mappings; i++ )
        if ( mappings[i].mapper == d )
        {
            uncounted += mappings[i].live && mappings[i].handle[1] >> 31 &&
                         !patched.read_domain(domids[mappings[i].granter], &granter);
            mappings[i].live = false;
        }
    nr_live[d][0] = 0;
    nr_live[d][1] = state.fast;
    if ( state.crashed )
        return;
    check_same("slow mappings counted after destruction", 0, state.slow);
    /* Mappings of a granter that no longer exists may be skipped and not counted as undone. */
    if ( state.fast > uncounted )
        report_difference("fast mappings counted after destruction", uncounted, state.fast);
}

/*
 * If a PV domain overwrites the PTE of a mapping, only the record of it remains, which does not
 * keep the granter alive.  Xen would apply the record to a new domain with the same domid.
 */
static bool has_records(unsigned int granter)
{
    for ( unsigned int i = 0; i < nr_mappings; i++ )
        if ( mappings[i].live && mappings[i].granter == granter )
            return true;
    return false;
}

void step_destroy(const struct step *s)
{
    unsigned int d = s->other % NR_DOMAINS;
    struct domain_state state;

    /* Rarely, as the destruction discards the state that was built up. */
    if ( s->more % 8 && stock.read_domain(domids[d], &state) )
        return;
    /* Bus addresses keep the granter's pages, and so the granter, on the patched one only. */
    if ( own_bus(0, d) && has_records(d) )
        return;
    if ( stock.read_domain(domids[d], &state) )
        destroy_domain(d);
    if ( !stock.read_domain(domids[d], &state) && !has_records(d) )
    {
        domain_kinds[d] = s->flags % 4 == 3   ? MAPLESS
                          : s->flags % 8 == 1 ? FEW_HANDLES
                          : s->flags % 8 == 2 ? VERSION_1
                                              : USUAL;
        create(d);
    }
    count_status(DESTROY, 0);
}
