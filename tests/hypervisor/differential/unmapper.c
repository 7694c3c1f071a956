/* Steps of a mapper that unmap.  Stock is given the handles of the expected mappings. */
#include <string.h>

#include "steps.h"
#include "world.h"

/* The p2m entry at an address of a translated domain; 0 for a PV domain. */
static uint64_t host_at(unsigned int domain, uint64_t host_addr)
{
    uint64_t entry = (host_addr >> 12) - RAM_PAGES;

    if ( !translated(domain) || entry >= ENTRIES )
        return 0;
    return patched.read_host_entry(domids[domain], entry);
}

/* More than the 32 requests that Xen completes at once, so that it may be preempted. */
enum { LONG_BATCH = 40 };

/* Both structures start with host_addr. */
union request {
    struct gnttab_unmap_grant_ref unmap;
    struct gnttab_unmap_and_replace replace;
};

static long unmap_batch(const struct hypervisor *side, const union request *requests,
                        unsigned int n, bool replace, int *statuses)
{
    struct gnttab_unmap_grant_ref unmap[LONG_BATCH];
    struct gnttab_unmap_and_replace replacing[LONG_BATCH];
    long rc;

    for ( unsigned int i = 0; i < n; i++ )
    {
        unmap[i] = requests[i].unmap;
        replacing[i] = requests[i].replace;
    }
    rc = replace ? side->operate(GNTTABOP_unmap_and_replace, replacing, n)
                 : side->operate(GNTTABOP_unmap_grant_ref, unmap, n);
    for ( unsigned int i = 0; i < n; i++ )
        statuses[i] = replace ? replacing[i].status : unmap[i].status;
    return rc;
}

/* Usually a live mapping, counted from the latest; otherwise any mapping ever made. */
static const struct mapping *pick_mapping(unsigned int which, unsigned int more)
{
    unsigned int from = which + more;

    if ( which < 224 )
        for ( unsigned int i = 0, skip = from % 8; i < nr_mappings; i++ )
        {
            const struct mapping *mapping = &mappings[nr_mappings - 1 - i];

            if ( mapping->live && !skip-- )
                return mapping;
        }
    return &mappings[from % nr_mappings];
}

/* Make the requests of a step, all of mapper @ld; return their number. */
static unsigned int make_requests(const struct step *s, bool replace, union request *requests,
                                  unsigned int *ld)
{
    unsigned int n = 0;

    for ( unsigned int i = 0; i < batch_of(s) && nr_mappings; i++ )
    {
        const struct mapping *picked = pick_mapping(s->mapping, i);
        uint64_t host = picked->host_addr, bus = picked->bus_addr[1];

        if ( !usable(picked->mapper) || (n && picked->mapper != *ld) )
            break;
        *ld = picked->mapper;
        switch ( s->flags % 8 )
        {
        case 1:
            host = 0;
            break;
        case 2:
            bus = 0;
            break;
        case 3:
            host = bus = 0;
            break;
        case 4:
            host = address_of(&stock, *ld, s->place, picked->flags);
            break;
        case 5:
            bus += 4096;
            break;
        case 6:
            host = pick_mapping(s->place, i)->host_addr;
            break;
        }
        if ( replace )
            requests[n++].replace = (struct gnttab_unmap_and_replace){
                .host_addr = host,
                .new_addr = address_of(&stock, *ld, s->place + 5, 0),
                .handle = picked->handle[1],
            };
        else
            requests[n++].unmap = (struct gnttab_unmap_grant_ref){
                .host_addr = host,
                .dev_bus_addr = bus,
                .handle = picked->handle[1],
            };
    }
    return n;
}

static void make_invalid(union request *request, bool replace)
{
    if ( replace )
        request->replace = (struct gnttab_unmap_and_replace){ .handle = ~0U };
    else
        request->unmap = (struct gnttab_unmap_grant_ref){ .handle = ~0U };
}

/*
 * Unmap on the patched hypervisor first.  The mappings its requests apply to depend on the statuses
 * of the earlier ones; stock is then given the handles of these mappings.
 */
static void unmap(const struct step *s, bool replace)
{
    union request requests[LONG_BATCH], of_stock[LONG_BATCH];
    bool gone[NR_DOMAINS];
    uint64_t hosts[MAX_BATCH];
    struct domain_state mapper;
    int statuses[2][LONG_BATCH];
    unsigned int ld = 0, n = make_requests(s, replace, requests, &ld), all, for_stock = 0;

    if ( !n )
        return;
    /* Fill a long batch with invalid requests. */
    for ( all = n; s->more >= 224 && all < LONG_BATCH; all++ )
        make_invalid(&requests[all], replace);

    enter_both(ld, s->actor >> 2);
    for ( unsigned int d = 0; d < NR_DOMAINS; d++ )
        gone[d] = !patched.read_domain(domids[d], &(struct domain_state){ 0 });
    for ( unsigned int i = 0; i < n; i++ )
        hosts[i] = host_at(ld, requests[i].unmap.host_addr);
    if ( !check_same("unmapping", unmap_batch(&patched, requests, all, replace, statuses[1]), 0) )
        return;
    patched.read_domain(domids[ld], &mapper);
    for ( unsigned int i = 0; i < n; i++ )
    {
        uint32_t handle = replace ? requests[i].replace.handle : requests[i].unmap.handle;
        uint64_t host_addr = requests[i].unmap.host_addr;
        uint64_t bus_addr = replace ? 0 : requests[i].unmap.dev_bus_addr;
        struct expected_unmap expected = expect_unmap(mappings, nr_mappings, ld, handle, host_addr,
                                                      bus_addr, translated(ld), hosts[i], gone);
        struct mapping *of = expected.mapping;

        count_status(replace ? REPLACE : UNMAP, statuses[1][i]);
        trace("# d%u %s handles %#x %#x at %#llx, bus %#llx: %d%s\n", domids[ld],
              replace ? "replaces" : "unmaps", of ? of->handle[0] : ~0U, handle,
              (unsigned long long)host_addr, (unsigned long long)bus_addr, statuses[1][i],
              expected.not_on_stock ? ", not on stock" : "");
        if ( expected.not_on_stock )
        {
            check_same("status of a request that stock treats differently", expected.status,
                       statuses[1][i]);
            continue;
        }
        of_stock[for_stock] = requests[i];
        if ( replace )
            of_stock[for_stock].replace.handle = of ? of->handle[0] : ~0U;
        else
        {
            of_stock[for_stock].unmap.handle = of ? of->handle[0] : ~0U;
            if ( of && of->own_bus && bus_addr )
                of_stock[for_stock].unmap.dev_bus_addr = of->bus_addr[0];
        }
        statuses[1][for_stock++] = statuses[1][i];
        if ( !of || statuses[1][i] || mapper.crashed )
            continue;
        if ( host_addr )
            of->flags &= ~GNTMAP_host_map;
        if ( bus_addr )
            of->flags &= ~GNTMAP_device_map;
        of->live = of->flags & (GNTMAP_host_map | GNTMAP_device_map);
        nr_live[ld][of->handle[1] >> 31] -= !of->live;
    }
    for ( unsigned int i = n; i < all; i++ )
    {
        of_stock[for_stock] = requests[i];
        statuses[1][for_stock++] = statuses[1][i];
    }
    check_same("unmapping", unmap_batch(&stock, of_stock, for_stock, replace, statuses[0]), 0);
    /* A crashed domain gets no statuses; compare() checks that both have crashed. */
    for ( unsigned int i = 0; i < for_stock && !mapper.crashed; i++ )
        check_same("status of unmapping", statuses[0][i], statuses[1][i]);
}

void step_unmap(const struct step *s)
{
    unmap(s, false);
}

void step_replace(const struct step *s)
{
    unmap(s, true);
}

/* Unmap an invalid handle: a random one, a forged fast one, or one of another domain. */
void step_bad_handle(const struct step *s)
{
    struct gnttab_unmap_grant_ref requests[2];
    unsigned int ld = s->actor % NR_DOMAINS;
    uint32_t handle = s->flags | s->place << 8 | s->mapping << 16 | (uint32_t)s->more << 24;

    if ( s->ref % 3 == 1 )
        handle = fast_handle(domids[s->other % NR_DOMAINS], refs[s->place % NR_REFS] & 0xffff);
    else if ( s->ref % 3 == 2 && nr_mappings )
        handle = mappings[s->mapping % nr_mappings].handle[1];
    if ( !usable(ld) )
        return;
    for ( unsigned int i = 0; i < nr_mappings; i++ )
        if ( mappings[i].live && mappings[i].mapper == ld && mappings[i].handle[1] == handle )
            return;
    requests[0] = requests[1] = (struct gnttab_unmap_grant_ref){
        .host_addr = address_of(&stock, ld, s->place, 0),
        .dev_bus_addr = s->more << 12,
        .handle = handle,
    };
    requests[0].handle = 0xffffffffU;
    enter_both(ld, s->actor >> 2);
    stock.operate(GNTTABOP_unmap_grant_ref, &requests[0], 1);
    patched.operate(GNTTABOP_unmap_grant_ref, &requests[1], 1);
    check_same("status of unmapping a bad handle", requests[0].status, requests[1].status);
    count_status(BAD_HANDLE, requests[1].status);
}
