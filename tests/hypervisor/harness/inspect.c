/* State of a hypervisor, in the same form for stock and patched, and its consistency checks. */

static bool read_entry(unsigned int domid, uint32_t ref, struct entry_state *state)
{
    struct domain *d = find_domain(domid);
    struct active_grant_entry *act;

    memset(state, 0, sizeof(*state));
    if ( !d || !has_entry(d->grant_table, ref) )
        return false;
    act = &_active_entry(d->grant_table, ref);
    state->pin = act->pin;
    state->mapper = act->pin ? act->domid : 0;
    state->frame = act->pin ? mfn_x(act->mfn) : 0;
    if ( d->grant_table->gt_version == 1 )
    {
        state->flags = shared_entry_v1(d->grant_table, ref).flags;
        state->domid = shared_entry_v1(d->grant_table, ref).domid;
    }
    else
    {
        state->flags = shared_entry_v2(d->grant_table, ref).hdr.flags;
        state->domid = shared_entry_v2(d->grant_table, ref).hdr.domid;
        state->status = status_entry(d->grant_table, ref);
    }
    return true;
}

static bool read_page(unsigned int domid, unsigned int page, struct page_state *state)
{
    struct domain *d = find_domain(domid);

    memset(state, 0, sizeof(*state));
    if ( !d || page >= DOMAIN_PAGES )
        return false;
    state->references = own_page(d, page)->count_info & PGC_count_mask;
    state->frame = mfn_x(page_to_mfn(own_page(d, page)));
    state->types = own_page(d, page)->u.inuse.type_info & PGT_count_mask;
    state->type = state->types ? own_page(d, page)->u.inuse.type_info & PGT_type_mask : 0;
    return true;
}

static bool read_domain(unsigned int domid, struct domain_state *state)
{
    struct domain *d = find_domain(domid);
    struct grant_table *gt;

    memset(state, 0, sizeof(*state));
    if ( !d )
        return false;
    gt = d->grant_table;
    state->crashed = d->is_shutting_down;
    state->dying = d->is_dying;
    state->version = gt->gt_version;
    state->grant_frames = gt->nr_grant_frames;
    state->status_frames = gt->nr_status_frames;
    state->maptrack_frames = nr_maptrack_frames(gt);
    state->iommu_mappings = d->iommu_mappings;
#ifdef HANDLE_fast
    {
        struct mapping_counts counts;

        count_mappings(d, &counts);
        state->fast = counts.fast_live;
        state->slow = counts.slow_live;
        state->flushes = counts.flushes;
        state->skipped_flushes = counts.skipped_flushes;
    }
#endif
    return true;
}

static void read_machine(struct machine_state *state)
{
    state->xen_pages = xen_pages.allocated;
    state->domains = domains.alive;
}

static uint64_t read_host_entry(unsigned int domid, unsigned int entry)
{
    struct domain *d = find_domain(domid);

    if ( !d )
        return 0;
    return read_atomic(d->translated ? &d->p2m[RAM_PAGES + entry] : &l1_entry(d, entry)->l1);
}

static unsigned int read_iommu(unsigned int domid, unsigned int of, unsigned int page)
{
    struct domain *d = find_domain(domid), *owner = find_domain(of);

    return d && owner && d->iommu ? d->iommu[own_page(owner, page) - frame_table] : 0;
}

/* What the records of live mappings add up to, for one entry of a granter. */
struct tally {
    uint32_t pin;
    uint16_t mapper;
    uint16_t refs, write_refs; /* references and writable types of the page */
};

static void tally_mapping(struct tally *tally, const struct domain *rd, const struct domain *ld,
                          unsigned int flags)
{
    bool readonly = flags & GNTMAP_readonly, own_bus = ld->bus && ld != rd;
    bool typed = gnttab_host_mapping_get_page_type(readonly, ld, rd);

    if ( flags & GNTMAP_device_map )
        tally->pin += readonly ? GNTPIN_devr_inc : GNTPIN_devw_inc;
    if ( flags & GNTMAP_host_map )
    {
        tally->pin += readonly ? GNTPIN_hstr_inc : GNTPIN_hstw_inc;
        tally->refs++;
        tally->write_refs += typed;
    }
    if ( flags & GNTMAP_device_map )
    {
        tally->refs++;
        tally->write_refs += !readonly;
    }
    if ( own_bus )
    {
        tally->refs++;
        tally->write_refs += typed;
    }
    tally->mapper = ld->domain_id;
}

static void tally_maptrack(struct tally *tallies, const struct domain *rd, struct domain *ld)
{
    struct grant_table *gt = ld->grant_table;

    for ( unsigned int handle = 0; handle < gt->maptrack_limit; handle++ )
    {
        const struct grant_mapping *map = &maptrack_entry(gt, handle);

        if ( map->flags && map->domid == rd->domain_id )
            tally_mapping(&tallies[map->ref], rd, ld, map->flags);
    }
}

static bool report_mismatch(const char *what, const struct domain *d, unsigned int n,
                            unsigned long actual, unsigned long expected)
{
    fprintf(stderr, "d%d %s %#x: %#lx, expected %#lx\n", d->domain_id, what, n, actual, expected);
    return false;
}

/* Each handle is in use or in the free list of one vCPU; otherwise it is leaked. */
static bool handles_consistent(const struct domain *d)
{
    const struct grant_table *gt = d->grant_table;
    unsigned int nr = 0;

    for ( unsigned int handle = 0; handle < gt->maptrack_limit; handle++ )
        nr += !!maptrack_entry(gt, handle).flags;
    for ( unsigned int i = 0; i < d->max_vcpus; i++ )
        for ( unsigned int handle = d->vcpu[i]->maptrack_head;
              handle != MAPTRACK_TAIL && nr <= gt->maptrack_limit;
              handle = maptrack_entry(gt, handle).ref )
            nr++;
    return nr == gt->maptrack_limit ||
           report_mismatch("number of handles", d, 0, nr, gt->maptrack_limit);
}

/* References and writable types that mappings account for, by frame. */
static unsigned int *frame_refs, *frame_write_refs;

static bool entries_consistent(struct domain *rd)
{
    struct grant_table *gt = rd->grant_table;
    unsigned int nr = gt->nr_grant_frames *
                      (unsigned int)(gt->gt_version == 1 ? SHGNT_PER_PAGE_V1 : SHGNT_PER_PAGE_V2);
    unsigned int nr_active = gt->nr_grant_frames * (unsigned int)SHGNT_PER_PAGE_V1;
    struct tally *tallies = calloc(nr_active, sizeof(*tallies));
    struct domain *ld;
    bool ok = true;

#ifdef HANDLE_fast
    if ( gt->version_changing )
        ok = report_mismatch("version_changing in table of version", rd, gt->gt_version, 1, 0);
#endif
    for_each_domain(ld)
        if ( ld->stage < FREEING )
            tally_maptrack(tallies, rd, ld);

    for ( unsigned int ref = 0; ref < nr_active; ref++ )
    {
        struct active_grant_entry *act = &_active_entry(gt, ref);
        struct tally *tally = &tallies[ref];
        struct entry_state state;

        if ( spin_is_locked(&act->lock) )
            ok = report_mismatch("lock held of reference", rd, ref, 1, 0);
#ifdef HANDLE_fast
        for ( unsigned int i = 0; i < NR_FAST_SLOTS; i++ )
        {
            if ( !act->slot[i] )
                continue;
            ld = find_domain(act->domid);
            if ( !(act->slot[i] & FAST_live) || !ld || ld->stage >= FREEING ||
                 !granter_noted(ld->grant_table, rd->domain_id) )
                ok = report_mismatch("stale slot of reference", rd, ref, act->slot[i], 0);
            else
                tally_mapping(tally, rd, ld, act->slot[i] & FAST_flags);
        }
#endif
        if ( act->pin != tally->pin )
            ok = report_mismatch("pins of reference", rd, ref, act->pin, tally->pin);
        if ( act->pin && act->domid != tally->mapper )
            ok = report_mismatch("mapper of reference", rd, ref, act->domid, tally->mapper);
        if ( ref < nr && read_entry(rd->domain_id, ref, &state) )
        {
            unsigned int actual = (gt->gt_version == 1 ? state.flags : state.status) &
                                  (GTF_reading | GTF_writing);
            bool written = act->pin & (GNTPIN_hstw_mask | GNTPIN_devw_mask);
            unsigned int expected = (act->pin ? GTF_reading : 0) | (written ? GTF_writing : 0);

            if ( actual != expected )
                ok = report_mismatch("status of reference", rd, ref, actual, expected);
        }
        if ( act->pin && mfn_valid(act->mfn) )
        {
            unsigned int frame = mfn_to_page(act->mfn) - frame_table;

            frame_refs[frame] += tally->refs;
            frame_write_refs[frame] += tally->write_refs;
        }
    }
    free(tallies);
    return ok;
}

/* A crashed or half-destroyed domain has dropped references that its records still show. */
static bool counts_are_exact(void)
{
    struct domain *d;

    if ( mappings_overwritten )
        return false;
    for_each_domain(d)
        if ( d->is_shutting_down || d->stage == RELEASING )
            return false;
    return true;
}

static bool frames_consistent(const struct domain *d)
{
    bool ok = true;

    for ( unsigned int n = 0; n < RAM_PAGES; n++ )
    {
        struct page_info *page = own_page(d, n);
        unsigned int i = page - frame_table;
        unsigned long refs = page->count_info & PGC_count_mask;
        unsigned long write_refs = page->u.inuse.type_info & PGT_count_mask;

        if ( refs != frame_refs[i] + !!(page->count_info & PGC_allocated) )
            ok = report_mismatch("references of page", d, n, refs, frame_refs[i] + 1UL);
        if ( write_refs != frame_write_refs[i] )
            ok = report_mismatch("writable types of page", d, n, write_refs, frame_write_refs[i]);
    }
    return ok;
}

/* Compare the host mappings of each frame with the pins. */
static bool host_mappings_consistent(struct domain *ld)
{
    unsigned int *refs = calloc(2 * GUEST_FRAMES, sizeof(*refs));
    struct domain *rd;
    bool ok = true;

    for ( unsigned int entry = 0; entry < ENTRIES; entry++ )
    {
        uint64_t host = read_host_entry(ld->domain_id, entry);
        l1_pgentry_t pte = { host };
        mfn_t mfn = ld->translated ? p2m_mfn(host) : l1e_get_mfn(pte);
        bool writable = ld->translated ? p2m_type(host) == p2m_grant_map_rw
                                       : l1e_get_flags(pte) & _PAGE_RW;

        if ( host )
            refs[2 * (mfn_x(mfn) - FIRST_MFN) + writable]++;
    }
    for_each_domain(rd)
        for ( unsigned int ref = 0; ref < rd->grant_table->nr_grant_frames * SHGNT_PER_PAGE_V1;
              ref++ )
        {
            struct active_grant_entry *act = &_active_entry(rd->grant_table, ref);
            unsigned int i;

            if ( !act->pin || act->domid != ld->domain_id || !mfn_valid(act->mfn) )
                continue;
            i = 2 * (mfn_x(act->mfn) - FIRST_MFN);
            refs[i] -= MASK_EXTR(act->pin, GNTPIN_hstr_mask);
            refs[i + 1] -= MASK_EXTR(act->pin, GNTPIN_hstw_mask);
        }
#ifndef HANDLE_fast
    /* Stock removes a p2m entry of the right frame whatever its type. */
    if ( ld->translated )
        for ( unsigned int i = 0; i < 2 * GUEST_FRAMES; i += 2 )
        {
            refs[i] += refs[i + 1];
            refs[i + 1] = 0;
        }
#endif
    for ( unsigned int i = 0; i < 2 * GUEST_FRAMES; i++ )
        if ( refs[i] )
            ok = report_mismatch(i % 2 ? "surplus of writable host mappings of frame"
                                       : "surplus of read-only host mappings of frame",
                                 ld, i / 2, refs[i], 0);
    free(refs);
    return ok;
}

#ifdef BUS_REGION_FRAMES
/* The bus address of a mapping leads to its frame, with its permissions. */
static bool bus_target_matches(struct domain *ld, dfn_t dfn, unsigned int flags,
                               const struct active_grant_entry *act)
{
    const struct bus_entry *entry = bus_entry(ld->bus, dfn);
    unsigned int permitted = flags & GNTMAP_readonly ? IOMMUF_readable
                                                     : IOMMUF_readable | IOMMUF_writable;

    if ( entry->now.flags == permitted && entry->now.mfn == mfn_x(act->mfn) )
        return true;
    return report_mismatch("target of bus frame", ld, dfn_x(dfn), entry->now.mfn, mfn_x(act->mfn));
}

/* Bus addresses and live mappings correspond one to one. */
static bool bus_addresses_consistent(struct domain *ld)
{
    struct grant_table *gt = ld->grant_table;
    unsigned int nr = 0;
    struct domain *rd;
    bool ok = true;

    for ( unsigned int handle = 0; handle < gt->maptrack_limit; handle++ )
    {
        const struct grant_mapping *map = &maptrack_entry(gt, handle);

        if ( !map->flags || map->domid == ld->domain_id || !(rd = find_domain(map->domid)) )
            continue;
        ok &= bus_target_matches(ld, bus_frame(handle, 0), map->flags,
                                 &_active_entry(rd->grant_table, map->ref));
        nr++;
    }
    for_each_domain(rd)
        for ( unsigned int ref = 0; ref < nr_active_entries(rd->grant_table); ref++ )
        {
            const struct active_grant_entry *act = &_active_entry(rd->grant_table, ref);

            for ( unsigned int i = 0; i < NR_FAST_SLOTS; i++ )
                if ( rd != ld && act->slot[i] && act->domid == ld->domain_id )
                {
                    ok &= bus_target_matches(ld, bus_frame(fast_handle(rd->domain_id, ref), i),
                                             act->slot[i], act);
                    nr++;
                }
        }
    if ( ld->bus->nr != nr )
        ok = report_mismatch("number of bus addresses", ld, 0, ld->bus->nr, nr);
    if ( ld->bus->nr_cached )
        ok = report_mismatch("number of bus addresses not flushed", ld, 0, ld->bus->nr_cached, 0);
    return ok;
}
#else
static bool bus_addresses_consistent(struct domain *ld)
{
    return true;
}
#endif

static bool is_consistent(void)
{
    struct domain *d;
    bool ok = true;

    frame_refs = calloc(GUEST_FRAMES, sizeof(*frame_refs));
    frame_write_refs = calloc(GUEST_FRAMES, sizeof(*frame_write_refs));
    if ( counts_are_exact() )
        for_each_domain(d)
            ok &= entries_consistent(d);
    if ( counts_are_exact() )
        for_each_domain(d)
        {
            ok &= frames_consistent(d);
            if ( d->stage == ALIVE )
            {
                ok &= host_mappings_consistent(d);
                ok &= handles_consistent(d);
            }
        }
    for_each_domain(d)
        if ( d->tlb->nr || d->iotlb->nr )
            ok = report_mismatch("stale translations", d, 0, d->tlb->nr + d->iotlb->nr, 0);
    for_each_domain(d)
        if ( d->bus && d->stage == ALIVE && !d->is_shutting_down )
            ok &= bus_addresses_consistent(d);
    free(frame_refs);
    free(frame_write_refs);
    if ( !free_pages_untouched(0) )
    {
        fprintf(stderr, "a page was written to after it was freed\n");
        ok = false;
    }
    return ok;
}
