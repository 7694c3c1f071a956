/* Steps of a granter: references and the grant table. */
#include <string.h>

#include "steps.h"
#include "world.h"

static const unsigned int grant_flags[] = {
    GTF_permit_access,
    GTF_permit_access,
    GTF_permit_access,
    GTF_permit_access | GTF_readonly,
    GTF_permit_access | GTF_readonly,
    0,
    GTF_accept_transfer,
    GTF_permit_access | GTF_sub_page,
};

/* A page or page table of the domain, or a nonexistent frame (254: too wide for version 1). */
static uint64_t granted_gfn(const struct hypervisor *side, unsigned int d, unsigned int place)
{
    switch ( place )
    {
    case 255:
        return 0xfffffffULL;
    case 254:
        return 0xfffffffffULL;
    case 240 ... 253:
        return side->gfn(domids[d], RAM_PAGES + place % L1_PAGES);
    default:
        return side->gfn(domids[d], place % NR_PAGES);
    }
}

void step_grant(const struct step *s)
{
    unsigned int d = s->other % NR_DOMAINS, to = s->actor % NR_DOMAINS;
    uint32_t ref = refs[s->ref % NR_REFS];
    unsigned int flags = s->flags >= 248 ? GTF_transitive : grant_flags[s->flags % 8], bits;
    struct entry_state state;

    if ( !alive(d) )
        return;
    for ( unsigned int i = 0; i < 2; i++ )
    {
        const struct hypervisor *side = i ? &patched : &stock;
        uint64_t gfn = granted_gfn(side, d, s->place);

        /*
         * Keep the bits that Xen has set, as a kernel does.  A reserved reference in use stays
         * granted, as a version switch would clear the entry otherwise.
         */
        side->read_entry(domids[d], ref, &state);
        bits = state.flags & (GTF_reading | GTF_writing);
        if ( state.pin && ref < GNTTAB_NR_RESERVED_ENTRIES )
            flags = GTF_permit_access | (flags & ~GTF_type_mask);
        side->grant(domids[d], ref, flags | bits, domids[to], gfn);
    }
    count_status(GRANT, 0);
}

void step_revoke(const struct step *s)
{
    unsigned int d = s->other % NR_DOMAINS;
    uint32_t ref = refs[s->ref % NR_REFS];

    if ( !alive(d) )
        return;
    check_same("revoking a grant", stock.revoke(domids[d], ref), patched.revoke(domids[d], ref));
    count_status(REVOKE, 0);
}

void step_version(const struct step *s)
{
    uint32_t version = s->flags >= 252 ? 3 : 1 + s->flags % 2;
    struct gnttab_set_version requests[2] = { { version }, { version } };
    unsigned int d = s->other % NR_DOMAINS;
    bool inaccessible = s->more == 255;
    long rc[2];

    if ( !usable(d) )
        return;
    enter_both(d, s->actor);
    allocations_fail(s->more & 64);
    rc[0] = stock.operate(GNTTABOP_set_version, inaccessible ? NULL : &requests[0], 1);
    rc[1] = patched.operate(GNTTABOP_set_version, inaccessible ? NULL : &requests[1], 1);
    allocations_fail(false);
    check_same("setting the version", rc[0], rc[1]);
    check_same("the version", requests[0].version, requests[1].version);
    trace("# d%u sets version %u: %ld\n", domids[d], version, rc[1]);
    count_status(VERSION, rc[1]);
}

void step_grow(const struct step *s)
{
    static xen_pfn_t pfns[2][GRANT_FRAMES];
    struct gnttab_setup_table requests[2];
    unsigned int d = s->other % NR_DOMAINS;

    if ( !usable(d) )
        return;
    for ( unsigned int side = 0; side < 2; side++ )
        requests[side] = (struct gnttab_setup_table){
            .dom = DOMID_SELF,
            .nr_frames = s->more & 1 ? GRANT_FRAMES : 1 + s->place % 4,
            .frame_list = { pfns[side] },
        };
    enter_both(d, s->actor);
    allocations_fail(s->more & 64);
    check_same("growing a table", stock.operate(GNTTABOP_setup_table, &requests[0], 1),
               patched.operate(GNTTABOP_setup_table, &requests[1], 1));
    allocations_fail(false);
    check_same("status of growing", requests[0].status, requests[1].status);
    count_status(GROW, requests[1].status);
}

void step_swap(const struct step *s)
{
    struct gnttab_swap_grant_ref requests[2];
    unsigned int d = s->other % NR_DOMAINS;

    if ( !usable(d) )
        return;
    requests[0] = requests[1] = (struct gnttab_swap_grant_ref){
        .ref_a = refs[s->ref % NR_REFS],
        .ref_b = refs[s->place % NR_REFS],
    };
    enter_both(d, s->actor);
    check_same("swapping references", stock.operate(GNTTABOP_swap_grant_ref, &requests[0], 1),
               patched.operate(GNTTABOP_swap_grant_ref, &requests[1], 1));
    check_same("status of swapping", requests[0].status, requests[1].status);
    count_status(SWAP, requests[1].status);
}

/* Status frames that domains hold a reference to. */
static bool held[NR_DOMAINS];
static uint64_t held_frames[2][NR_DOMAINS];

void drop_held_frame(unsigned int d)
{
    if ( !held[d] )
        return;
    stock.drop_frame(held_frames[0][d]);
    patched.drop_frame(held_frames[1][d]);
    held[d] = false;
}

void reset_held_frames(void)
{
    memset(held, 0, sizeof(held));
}

/* Hold a reference to a status frame, which prevents a switch to version 1; or drop it. */
void step_hold(const struct step *s)
{
    unsigned int d = s->other % NR_DOMAINS;
    unsigned long index = XENMAPIDX_grant_table_status | s->place % 2;
    long rc;

    if ( !usable(d) )
        return;
    if ( held[d] )
    {
        drop_held_frame(d);
        return;
    }
    rc = patched.hold_frame(domids[d], index, &held_frames[1][d]);
    check_same("holding a status frame", stock.hold_frame(domids[d], index, &held_frames[0][d]),
               rc);
    held[d] = !rc;
    count_status(HOLD, rc);
}
