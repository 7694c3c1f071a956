/* Play the steps, one after the other. */
#include "steps.h"
#include "world.h"

const char *const differ_names[NR_WHAT] = {
    "grant",   "revoke", "map",  "unmap", "replace", "bad-handle", "copy",
    "version", "grow",   "swap", "end",   "preempt", "hold",
};

static void preempt(const struct step *s)
{
    stock.preempt_every(s->more % 4);
    patched.preempt_every(s->more % 4);
}

static void take(const struct step *s)
{
    /* clang-format off */
    switch ( (enum what)(s->what % NR_WHAT) )
    {
    case GRANT: step_grant(s); break;
    case REVOKE: step_revoke(s); break;
    case MAP: step_map(s); break;
    case UNMAP: step_unmap(s); break;
    case REPLACE: step_replace(s); break;
    case BAD_HANDLE: step_bad_handle(s); break;
    case COPY: step_copy(s); break;
    case VERSION: step_version(s); break;
    case GROW: step_grow(s); break;
    case SWAP: step_swap(s); break;
    case END: step_end(s); break;
    case PREEMPT: preempt(s); break;
    case HOLD: step_hold(s); break;
    case NR_WHAT: break;
    }
    /* clang-format on */
}

void differ_begin(const struct setting *setting, struct outcome *outcome)
{
    begin_world(setting, outcome);
    forget_held();
    for ( unsigned int d = 0; d < NR_DOMAINS; d++ )
        create(d);
}

void differ_take(const struct step *step)
{
    if ( result->differs )
        return;
    result->done++;
    take(step);
    compare();
}

void differ_end(void)
{
    struct machine_seen machines[2];

    if ( result->differs || !same("all fits together", stock.at_rest(), true) ||
         !same("all fits together", true, patched.at_rest()) )
        return;
    for ( unsigned int d = 0; d < NR_DOMAINS; d++ )
        end_domain(d);
    stock.see_machine(&machines[0]);
    patched.see_machine(&machines[1]);
    same("domains left", machines[0].domains, machines[1].domains);
    same("domains left", 0, machines[1].domains);
    same("pages left of Xen's", machines[0].xen_pages, machines[1].xen_pages);
    same("pages left of Xen's", 0, machines[1].xen_pages);
}

void differ_run(const struct setting *setting, const struct step *steps, size_t count,
                struct outcome *outcome)
{
    differ_begin(setting, outcome);
    for ( size_t i = 0; i < count && !outcome->differs; i++ )
        differ_take(&steps[i]);
    differ_end();
}
