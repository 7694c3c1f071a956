/* What a vCPU asks for, at random: included by races.c, whose state it is about. */

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
    return refs[mix->first + pick(mix->refs)];
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

    return usual[pick(mix->translated && domain == 1 ? 4 : 8)];
}

static void map(unsigned int ld)
{
    struct gnttab_map_grant_ref requests[MAX_BATCH];
    struct place *claimed[MAX_BATCH];
    unsigned int n = 0, batch = 1 + pick(mix->batch);

    for ( unsigned int i = 0; i < batch; i++ )
    {
        unsigned int at = pick(PLACES);
        struct place *place = &places[ld][at];

        if ( !claim(place, FREE) )
            continue;
        /* Not over what a wrong request left: nobody but the guest would be to blame for that. */
        if ( SIDE.see_host(domids[ld], entry_of(at)) )
        {
            set(place->state, FREE);
            continue;
        }
        claimed[n] = place;
        requests[n].flags = some_flags(ld);
        requests[n].host_addr = address_of(ld, at, requests[n].flags);
        requests[n].ref = some_ref();
        requests[n++].dom = domids[pick(4) ? (ld + 1) % DOMAINS : pick(DOMAINS)];
    }
    if ( !n )
        return;
    if ( SIDE.operate(GNTTABOP_map_grant_ref, requests, n) )
        tell("mapping", ld, -1);
    for ( unsigned int i = 0; i < n; i++ )
    {
        struct place *place = claimed[i];

        count(MAP, requests[i].status);
        set(place->flags, requests[i].flags);
        set(place->handle, requests[i].handle);
        set(place->bus, requests[i].dev_bus_addr);
        set(place->state, requests[i].status ? FREE : LIVE);
    }
}

static void unmap(unsigned int ld)
{
    struct gnttab_unmap_grant_ref requests[MAX_BATCH];
    struct place *claimed[MAX_BATCH];
    unsigned int n = 0, first = pick(PLACES), batch = 1 + pick(mix->batch);

    for ( unsigned int i = 0; i < PLACES && n < batch; i++ )
    {
        unsigned int at = (first + i) % PLACES, flags;
        struct place *place = &places[ld][at];

        if ( !claim(place, LIVE) )
            continue;
        claimed[n] = place;
        flags = get(place->flags);
        requests[n++] = (struct gnttab_unmap_grant_ref){
            .host_addr = flags & GNTMAP_host_map ? address_of(ld, at, flags) : 0,
            .dev_bus_addr = flags & GNTMAP_device_map ? get(place->bus) : 0,
            .handle = get(place->handle),
        };
    }
    if ( !n )
        return;
    SIDE.operate(GNTTABOP_unmap_grant_ref, requests, n);
    for ( unsigned int i = 0; i < n; i++ )
    {
        count(UNMAP, requests[i].status);
        /* Who asks for nothing wrong, nor has anyone beside who does, is not refused. */
        if ( requests[i].status && !mix->weights[WRONG] )
            tell("unmapping", ld, requests[i].status);
        set(claimed[i]->state, FREE);
    }
}

/* Requests that are wrong, or would be: of nobody's, another's, or one that is just taken away. */
static void wrong(unsigned int ld)
{
    struct gnttab_unmap_grant_ref request = { 0 };
    unsigned int at = pick(PLACES), flags = get(places[ld][at].flags);
    unsigned int of = pick(4) ? ld : pick(DOMAINS);

    request.handle = get(places[of][pick(4) ? at : pick(PLACES)].handle);
    if ( !pick(3) )
        request.handle = 0x80000000U | domids[pick(DOMAINS)] << 16 | some_ref();
    if ( pick(4) )
        request.host_addr = address_of(ld, at, pick(4) ? flags : 0);
    if ( !pick(3) )
        request.dev_bus_addr = get(places[ld][at].bus);
    SIDE.operate(GNTTABOP_unmap_grant_ref, &request, 1);
    count(WRONG, request.status);
}

static void copy(unsigned int ld)
{
    struct gnttab_copy request = {
        .source.domid = domids[pick(DOMAINS)],
        .source.u.ref = some_ref(),
        .dest.domid = DOMID_SELF,
        .dest.u.gmfn = SIDE.gfn(domids[ld], pick(PAGES)),
        /* What two of them write into one place is their own matter. */
        .source.offset = self * 256,
        .dest.offset = self * 256,
        .len = 64,
        .flags = GNTCOPY_source_gref,
    };

    if ( pick(2) )
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
        .nr_frames = 1 + pick(GRANT_FRAMES),
        .frame_list = { pfns },
    };

    SIDE.operate(GNTTABOP_setup_table, &request, 1);
    count(GROW, request.status);
}

static void version(unsigned int d)
{
    struct gnttab_set_version request = { 1 + pick(2) };

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
    bool taken = SIDE.revoke(domids[d], ref);

    count(REVOKE, taken ? 0 : -1);
    if ( taken && grant )
    {
        SIDE.grant(domids[d], ref, GTF_permit_access | (pick(4) ? 0 : GTF_readonly),
                   domids[pick(8) ? (d + DOMAINS - 1) % DOMAINS : pick(DOMAINS)],
                   SIDE.gfn(domids[d], pick(PAGES)));
        count(GRANT, 0);
    }
}
