/* Steps of a mapper: map and copy. */
#include <string.h>

#include "steps.h"
#include "world.h"

/*
 * MAX_MAPPED: limit of mappings below the exhaustion of handles, which stock reaches earlier.
 * LONG_BATCH: more than twice the requests that Xen copies at once, so that it may be preempted.
 */
enum { MAX_MAPPED = 200, LONG_BATCH = 40 };

/* The granter of request @i of a batch. */
static unsigned int granter_of(const struct step *s, unsigned int i)
{
    return (s->other + (s->more & 32 ? i : 0)) % NR_DOMAINS;
}

/* Sometimes with unknown flags, unused flags, or flags a translated domain may not use. */
static unsigned int mapping_flags(const struct step *s)
{
    if ( s->flags >= 224 )
        return (s->flags & 0x1f) | 0x00060020;
    if ( s->flags >= 128 && translated(s->actor % NR_DOMAINS) )
        return (s->flags & GNTMAP_readonly) | GNTMAP_host_map;
    return s->flags & 0x1f;
}

/*
 * Where nothing can be mapped, the reported error may differ: the patched hypervisor checks the
 * reference before it takes a maptrack entry.
 */
static void check_unmappable(int on_stock, int on_patched)
{
    if ( on_stock != GNTST_no_space )
        check_same("status of mapping", on_stock, on_patched);
    else if ( on_patched != GNTST_no_space && on_patched != GNTST_bad_gntref &&
              on_patched != GNTST_general_error )
        report_difference("status of mapping without maptrack space", on_stock, on_patched);
}

void step_map(const struct step *s)
{
    struct gnttab_map_grant_ref requests[2][LONG_BATCH] = { 0 };
    unsigned int n = batch_of(s), ld = s->actor % NR_DOMAINS;
    /* A long batch begins with invalid requests. */
    unsigned int invalid = s->more >= 224 ? LONG_BATCH - n : 0;
    struct domain_state mapper;
    bool fails;

    if ( !usable(ld) || nr_mappings + n > MAX_MAPPINGS )
        return;
    if ( active_setting.fast && domain_kinds[ld] == FEW_HANDLES &&
         nr_live[ld][0] + nr_live[ld][1] > MAX_MAPPED )
        return;
    for ( unsigned int i = 0; i < n; i++ )
        for ( unsigned int side = 0; side < 2; side++ )
            requests[side][invalid + i] = (struct gnttab_map_grant_ref){
                .ref = refs[(s->ref + (s->more & 16 ? i : 0)) % NR_REFS],
                .flags = mapping_flags(s),
                .dom = s->other >= 250 ? 0x7ff0U + s->other - 250 : domids[granter_of(s, i)],
                .host_addr = address_of(side ? &patched : &stock, ld, s->place + i, s->flags),
                .handle = 0x55555555,
            };
    /* Let allocations fail only for a mapper that has no maptrack frame yet. */
    stock.read_domain(domids[ld], &mapper);
    fails = (s->more & 64) && !mapper.maptrack_frames;
    enter_both(ld, s->actor >> 2);
    allocations_fail(fails);
    check_same("mapping", stock.operate(GNTTABOP_map_grant_ref, requests[0], invalid + n),
               patched.operate(GNTTABOP_map_grant_ref, requests[1], invalid + n));
    allocations_fail(false);

    for ( unsigned int i = 0; i < invalid; i++ )
        check_same("status of an invalid request", requests[0][i].status, requests[1][i].status);
    for ( unsigned int i = 0; i < n; i++ )
    {
        const struct gnttab_map_grant_ref *r = &requests[0][invalid];
        const struct gnttab_map_grant_ref *ours = &requests[1][invalid];
        struct mapping *made = &mappings[nr_mappings];
        struct entry_state entry;

        if ( domain_kinds[ld] == MAPLESS || fails || r[i].status == GNTST_no_space )
        {
            check_unmappable(r[i].status, ours[i].status);
            count_status(MAP, ours[i].status);
            continue;
        }
        check_same("status of mapping", r[i].status, ours[i].status);
        count_status(MAP, r[i].status);
        trace("# d%u maps d%u ref %#x flags %#x at %#llx: %d, handles %#x %#x\n", domids[ld],
              r[i].dom, r[i].ref, r[i].flags, (unsigned long long)r[i].host_addr, r[i].status,
              r[i].handle, ours[i].handle);
        if ( r[i].status )
            continue;
        if ( !own_bus(ld, granter_of(s, i)) )
            check_same("bus address", r[i].dev_bus_addr, ours[i].dev_bus_addr);
        patched.read_entry(r[i].dom, r[i].ref, &entry);
        *made = (struct mapping){
            .live = true,
            .tagged = r[i].flags & GNTMAP_host_map,
            .mapper = ld,
            .granter = granter_of(s, i),
            .ref = r[i].ref,
            .flags = r[i].flags,
            .host_addr = r[i].host_addr,
            .frame = entry.frame,
            .bus_addr = { r[i].dev_bus_addr, ours[i].dev_bus_addr },
            .own_bus = own_bus(ld, granter_of(s, i)),
            .in_iommu = in_iommu(ld, granter_of(s, i)),
            .exact = own_bus(ld, NR_DOMAINS),
            .handle = { r[i].handle, ours[i].handle },
        };
        if ( active_setting.fast && expect_fast(mappings, nr_mappings, made) )
            check_same("handle", fast_handle(r[i].dom, r[i].ref), made->handle[1]);
        else
            check_same("a handle is fast", false, made->handle[1] >> 31);
        if ( s->more & 8 )
            patched.access(domids[ld], entry_of(s->place + i), s->more & 128);
        made->slot = expected_slot(mappings, nr_mappings, made);
        nr_live[ld][made->handle[1] >> 31]++;
        nr_mappings++;
    }
}

void step_copy(const struct step *s)
{
    struct gnttab_copy requests[2];
    unsigned int ld = s->actor % NR_DOMAINS, rd = s->other % NR_DOMAINS;

    if ( !usable(ld) || !alive(rd) )
        return;
    for ( unsigned int side = 0; side < 2; side++ )
    {
        requests[side] = (struct gnttab_copy){
            .source.domid = domids[rd],
            .source.u.ref = refs[s->ref % NR_REFS],
            .dest.domid = DOMID_SELF,
            .dest.u.gmfn = (side ? &patched : &stock)->gfn(domids[ld], s->place % NR_PAGES),
            .len = 64,
            .flags = GNTCOPY_source_gref,
        };
        if ( s->more & 1 )
        {
            __typeof__(requests[0].source) swapped = requests[side].source;

            memcpy(&requests[side].source, &requests[side].dest, sizeof(swapped));
            memcpy(&requests[side].dest, &swapped, sizeof(swapped));
            requests[side].flags = GNTCOPY_dest_gref;
        }
    }
    enter_both(ld, s->actor >> 2);
    check_same("copying", stock.operate(GNTTABOP_copy, &requests[0], 1),
               patched.operate(GNTTABOP_copy, &requests[1], 1));
    check_same("status of copying", requests[0].status, requests[1].status);
    count_status(COPY, requests[1].status);
}
