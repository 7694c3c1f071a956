/* Dispatch of steps. */
#include "steps.h"
#include "world.h"

const char *const differ_names[NR_STEP_KINDS] = {
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
    switch ( (enum step_kind)(s->kind % NR_STEP_KINDS) )
    {
    case GRANT:
        step_grant(s);
        break;
    case REVOKE:
        step_revoke(s);
        break;
    case MAP:
        step_map(s);
        break;
    case UNMAP:
        step_unmap(s);
        break;
    case REPLACE:
        step_replace(s);
        break;
    case BAD_HANDLE:
        step_bad_handle(s);
        break;
    case COPY:
        step_copy(s);
        break;
    case VERSION:
        step_version(s);
        break;
    case GROW:
        step_grow(s);
        break;
    case SWAP:
        step_swap(s);
        break;
    case DESTROY:
        step_destroy(s);
        break;
    case PREEMPT:
        preempt(s);
        break;
    case HOLD:
        step_hold(s);
        break;
    case NR_STEP_KINDS:
        break;
    }
}

void differ_begin(const struct setting *setting, struct outcome *outcome)
{
    begin_world(setting, outcome);
    reset_held_frames();
    for ( unsigned int d = 0; d < NR_DOMAINS; d++ )
        create(d);
}

void differ_take(const struct step *step)
{
    if ( current_outcome->differs )
        return;
    current_outcome->done++;
    take(step);
    compare();
}

void differ_end(void)
{
    struct machine_state machines[2];

    if ( current_outcome->differs || !check_same("consistent", stock.is_consistent(), true) ||
         !check_same("consistent", true, patched.is_consistent()) )
        return;
    for ( unsigned int d = 0; d < NR_DOMAINS; d++ )
        destroy_domain(d);
    stock.read_machine(&machines[0]);
    patched.read_machine(&machines[1]);
    check_same("domains leaked", machines[0].domains, machines[1].domains);
    check_same("domains leaked", 0, machines[1].domains);
    check_same("pages of Xen leaked", machines[0].xen_pages, machines[1].xen_pages);
    check_same("pages of Xen leaked", 0, machines[1].xen_pages);
}

void differ_run(const struct setting *setting, const struct step *steps, size_t count,
                struct outcome *outcome)
{
    differ_begin(setting, outcome);
    for ( size_t i = 0; i < count && !outcome->differs; i++ )
        differ_take(&steps[i]);
    differ_end();
}
