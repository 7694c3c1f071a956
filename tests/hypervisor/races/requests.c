/* Random requests of a vCPU; included by races.c. */

static unsigned int entry_of(unsigned int n)
{
    return n * 331 % ENTRIES;
}

static uint64_t address_of(unsigned int domain, unsigned int n, unsigned int flags)
{
    if ( mix->translated && domain == 1 )
        return ((uint64_t)RAM_PAGES + entry_of(n)) << 12;
    if ( flags & GNTMAP_contains_pte )
        return SIDE.pte_address(domids[domain], entry_of(n));
    return LINEAR_BASE + ((uint64_t)entry_of(n) << 12);
}

static uint32_t some_ref(void)
{
    return refs[mix->first + random_below(mix->refs)];
}

static unsigned int some_flags(unsigned int domain)
{
    static const unsigned int usual[] = {
        GNTMAP_host_map,
        GNTMAP_host_map,
        GNTMAP_host_map | GNTMAP_readonly,
        GNTMAP_host_map,
        GNTMAP_host_map | GNTMAP_contains_pte,
        GNTMAP_device_map,
        GNTMAP_host_map | GNTMAP_device_map,
        GNTMAP_device_map | GNTMAP_readonly,
    };

    return usual[random_below(mix->translated && domain == 1 ? 4 : 8)];
}

static void map(unsigned int ld)
{
    struct gnttab_map_grant_ref requests[MAX_BATCH];
    struct mapping *claimed[MAX_BATCH];
    unsigned int n = 0, batch = 1 + random_below(mix->batch);

    for ( unsigned int i = 0; i < batch; i++ )
    {
        unsigned int at = random_below(MAPPINGS);
        struct mapping *mapping = &mappings[ld][at];

        if ( !claim(mapping, FREE) )
            continue;
        /* Do not overwrite a mapping that an invalid request left behind. */
        if ( SIDE.read_host_entry(domids[ld], entry_of(at)) )
        {
            store_relaxed(mapping->state, FREE);
            continue;
        }
        claimed[n] = mapping;
        requests[n].flags = some_flags(ld);
        requests[n].host_addr = address_of(ld, at, requests[n].flags);
        requests[n].ref = some_ref();
        requests[n++].dom = domids[random_below(4) ? (ld + 1) % DOMAINS : random_below(DOMAINS)];
    }
    if ( !n )
        return;
    if ( SIDE.operate(GNTTABOP_map_grant_ref, requests, n) )
        report_failure("mapping", ld, -1);
    for ( unsigned int i = 0; i < n; i++ )
    {
        struct mapping *mapping = claimed[i];

        count(MAP, requests[i].status);
        store_relaxed(mapping->flags, requests[i].flags);
        store_relaxed(mapping->handle, requests[i].handle);
        store_relaxed(mapping->bus, requests[i].dev_bus_addr);
        store_relaxed(mapping->state, requests[i].status ? FREE : LIVE);
    }
}

static void unmap(unsigned int ld)
{
    struct gnttab_unmap_grant_ref requests[MAX_BATCH];
    struct mapping *claimed[MAX_BATCH];
    unsigned int n = 0, first = random_below(MAPPINGS), batch = 1 + random_below(mix->batch);

    /* Pages that this vCPU, or another one at the same time, unmaps. */
    for ( unsigned int i = 0; mix->skip && !ld && i < 4; i++ )
        SIDE.access(domids[0], entry_of(random_below(MAPPINGS)), random_below(2));
    for ( unsigned int i = 0; i < MAPPINGS && n < batch; i++ )
    {
        unsigned int at = (first + i) % MAPPINGS, flags;
        struct mapping *mapping = &mappings[ld][at];

        if ( !claim(mapping, LIVE) )
            continue;
        claimed[n] = mapping;
        flags = load_relaxed(mapping->flags);
        requests[n++] = (struct gnttab_unmap_grant_ref){
            .host_addr = flags & GNTMAP_host_map ? address_of(ld, at, flags) : 0,
            .dev_bus_addr = flags & GNTMAP_device_map ? load_relaxed(mapping->bus) : 0,
            .handle = load_relaxed(mapping->handle),
        };
    }
    if ( !n )
        return;
    SIDE.operate(GNTTABOP_unmap_grant_ref, requests, n);
    for ( unsigned int i = 0; i < n; i++ )
    {
        count(UNMAP, requests[i].status);
        /* Without invalid requests, no unmap may be refused. */
        if ( requests[i].status && !mix->weights[INVALID_UNMAP] )
            report_failure("unmapping", ld, requests[i].status);
        store_relaxed(claimed[i]->state, FREE);
    }
}

/* Unmap a handle that is invalid, another domain's, or being unmapped by another thread. */
static void unmap_invalid(unsigned int ld)
{
    struct gnttab_unmap_grant_ref request = { 0 };
    unsigned int at = random_below(MAPPINGS), flags = load_relaxed(mappings[ld][at].flags);
    unsigned int of = random_below(4) ? ld : random_below(DOMAINS);

    request.handle = load_relaxed(
        mappings[of][random_below(4) ? at : random_below(MAPPINGS)].handle);
    if ( !random_below(3) )
        request.handle = 0x80000000U | domids[random_below(DOMAINS)] << 16 | some_ref();
    if ( random_below(4) )
        request.host_addr = address_of(ld, at, random_below(4) ? flags : 0);
    if ( !random_below(3) )
        request.dev_bus_addr = load_relaxed(mappings[ld][at].bus);
    SIDE.operate(GNTTABOP_unmap_grant_ref, &request, 1);
    count(INVALID_UNMAP, request.status);
}

static void copy(unsigned int ld)
{
    struct gnttab_copy request = {
        .source.domid = domids[random_below(DOMAINS)],
        .source.u.ref = some_ref(),
        .dest.domid = DOMID_SELF,
        .dest.u.gmfn = SIDE.gfn(domids[ld], random_below(PAGES)),
        /* Each thread copies its own part of a page, as guests' own races are not tested. */
        .source.offset = self * 256,
        .dest.offset = self * 256,
        .len = 64,
        .flags = GNTCOPY_source_gref,
    };

    if ( random_below(2) )
    {
        __typeof__(request.source) swapped = request.source;

        memcpy(&request.source, &request.dest, sizeof(swapped));
        memcpy(&request.dest, &swapped, sizeof(swapped));
        request.flags = GNTCOPY_dest_gref;
    }
    SIDE.operate(GNTTABOP_copy, &request, 1);
    count(COPY, request.status);
}

static void grow(unsigned int d)
{
    xen_pfn_t pfns[GRANT_FRAMES];
    struct gnttab_setup_table request = {
        .dom = DOMID_SELF,
        .nr_frames = 1 + random_below(GRANT_FRAMES),
        .frame_list = { pfns },
    };

    SIDE.operate(GNTTABOP_setup_table, &request, 1);
    count(GROW, request.status);
}

static void version(unsigned int d)
{
    struct gnttab_set_version request = { 1 + random_below(2) };

    count(VERSION, SIDE.operate(GNTTABOP_set_version, &request, 1));
}

static void swap(unsigned int d)
{
    struct gnttab_swap_grant_ref request = {
        .ref_a = some_ref(),
        .ref_b = some_ref(),
    };

    SIDE.operate(GNTTABOP_swap_grant_ref, &request, 1);
    count(SWAP, request.status);
}

static void revoke(unsigned int d, bool grant)
{
    uint32_t ref = some_ref();
    bool revoked = SIDE.revoke(domids[d], ref);

    count(REVOKE, revoked ? 0 : -1);
    if ( revoked && grant )
    {
        SIDE.grant(domids[d], ref, GTF_permit_access | (random_below(4) ? 0 : GTF_readonly),
                   domids[random_below(8) ? (d + DOMAINS - 1) % DOMAINS : random_below(DOMAINS)],
                   SIDE.gfn(domids[d], random_below(PAGES)));
        count(GRANT, 0);
    }
}
