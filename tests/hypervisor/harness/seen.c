/* What is to be seen from outside, the same on both hypervisors; and whether it fits together. */

static bool see_entry(unsigned int domid, uint32_t ref, struct entry_seen *seen)
{
    struct domain *d = find_domain(domid);
    struct active_grant_entry *act;

    memset(seen, 0, sizeof(*seen));
    if ( !d || !has_entry(d->grant_table, ref) )
        return false;
    act = &_active_entry(d->grant_table, ref);
    seen->pin = act->pin;
    seen->mapper = act->pin ? act->domid : 0;
    seen->frame = act->pin ? mfn_x(act->mfn) : 0;
    if ( d->grant_table->gt_version == 1 )
    {
        seen->flags = shared_entry_v1(d->grant_table, ref).flags;
        seen->domid = shared_entry_v1(d->grant_table, ref).domid;
    }
    else
    {
        seen->flags = shared_entry_v2(d->grant_table, ref).hdr.flags;
        seen->domid = shared_entry_v2(d->grant_table, ref).hdr.domid;
        seen->status = status_entry(d->grant_table, ref);
    }
    return true;
}

static bool see_page(unsigned int domid, unsigned int page, struct page_seen *seen)
{
    struct domain *d = find_domain(domid);

    memset(seen, 0, sizeof(*seen));
    if ( !d || page >= DOMAIN_PAGES )
        return false;
    seen->references = own_page(d, page)->count_info & PGC_count_mask;
    seen->frame = mfn_x(page_to_mfn(own_page(d, page)));
    seen->types = own_page(d, page)->u.inuse.type_info & PGT_count_mask;
    seen->type = seen->types ? own_page(d, page)->u.inuse.type_info & PGT_type_mask : 0;
    return true;
}

static bool see_domain(unsigned int domid, struct domain_seen *seen)
{
    struct domain *d = find_domain(domid);
    struct grant_table *gt;

    memset(seen, 0, sizeof(*seen));
    if ( !d )
        return false;
    gt = d->grant_table;
    seen->crashed = d->is_shutting_down;
    seen->dying = d->is_dying;
    seen->version = gt->gt_version;
    seen->grant_frames = gt->nr_grant_frames;
    seen->status_frames = gt->nr_status_frames;
    seen->maptrack_frames = nr_maptrack_frames(gt);
    seen->iommu_mappings = d->iommu_mappings;
#ifdef HANDLE_fast
    {
        struct mapping_counts counts;

        count_mappings(d, &counts);
        seen->fast = counts.fast_live;
        seen->slow = counts.slow_live;
    }
#endif
    return true;
}

static void see_machine(struct machine_seen *seen)
{
    seen->xen_pages = xen_pages.allocated;
    seen->domains = domains.alive;
}

static uint64_t see_host(unsigned int domid, unsigned int entry)
{
    struct domain *d = find_domain(domid);

    if ( !d )
        return 0;
    return read_atomic(d->translated ? &d->p2m[RAM_PAGES + entry] : &l1_entry(d, entry)->l1);
}

static unsigned int see_iommu(unsigned int domid, unsigned int of, unsigned int page)
{
    struct domain *d = find_domain(domid), *owner = find_domain(of);

    return d && owner && d->iommu ? d->iommu[own_page(owner, page) - frame_table] : 0;
}

/* All that the records of live mappings add up to, by entry of one granter. */
struct tally {
    uint32_t pin;
    uint16_t mapper;
    uint16_t uses, writes; /* references of the page, and writable types */
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
        tally->uses++;
        tally->writes += typed;
    }
    /* What devices reach is either a device mapping's matter, or the bus address's. */
    if ( own_bus || (flags & GNTMAP_device_map) )
        tally->uses++;
    if ( (own_bus && typed) || ((flags & GNTMAP_device_map) && !readonly) )
        tally->writes++;
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

static bool wrong(const char *what, const struct domain *d, unsigned int n, unsigned long is,
                  unsigned long should_be)
{
    fprintf(stderr, "d%d %s %#x: %#lx, not %#lx\n", d->domain_id, what, n, is, should_be);
    return false;
}

/* Each handle is in use or in one vCPU's list: one that is neither is lost. */
static bool handles_at_rest(const struct domain *d)
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
    return nr == gt->maptrack_limit || wrong("handles", d, 0, nr, gt->maptrack_limit);
}

/* Of the frames of all domains: references and writable types that mappings account for. */
static unsigned int *frame_uses, *frame_writes;

static bool entries_at_rest(struct domain *rd)
{
    struct grant_table *gt = rd->grant_table;
    unsigned int nr = gt->nr_grant_frames *
                      (unsigned int)(gt->gt_version == 1 ? SHGNT_PER_PAGE_V1 : SHGNT_PER_PAGE_V2);
    unsigned int nr_active = gt->nr_grant_frames * (unsigned int)SHGNT_PER_PAGE_V1;
    struct tally *tallies = calloc(nr_active, sizeof(*tallies));
    struct domain *ld;
    bool right = true;

#ifdef HANDLE_fast
    if ( gt->version_changing )
        right = wrong("the version is changing", rd, gt->gt_version, 1, 0);
#endif
    for_each_domain(ld)
        if ( ld->stage < FREEING )
            tally_maptrack(tallies, rd, ld);

    for ( unsigned int ref = 0; ref < nr_active; ref++ )
    {
        struct active_grant_entry *act = &_active_entry(gt, ref);
        struct tally *tally = &tallies[ref];
        struct entry_seen seen;

        if ( spin_is_locked(&act->lock) )
            right = wrong("the lock is held of reference", rd, ref, 1, 0);
#ifdef HANDLE_fast
        for ( unsigned int i = 0; i < NR_FAST_SLOTS; i++ )
        {
            if ( !act->slot[i] )
                continue;
            ld = find_domain(act->domid);
            if ( !(act->slot[i] & FAST_live) || !ld || ld->stage >= FREEING ||
                 !granter_noted(ld->grant_table, rd->domain_id) )
                right = wrong("a slot is left of reference", rd, ref, act->slot[i], 0);
            else
                tally_mapping(tally, rd, ld, act->slot[i] & FAST_flags);
        }
#endif
        if ( act->pin != tally->pin )
            right = wrong("pins of reference", rd, ref, act->pin, tally->pin);
        if ( act->pin && act->domid != tally->mapper )
            right = wrong("mapper of reference", rd, ref, act->domid, tally->mapper);
        if ( ref < nr && see_entry(rd->domain_id, ref, &seen) )
        {
            unsigned int is = (gt->gt_version == 1 ? seen.flags : seen.status) &
                              (GTF_reading | GTF_writing);
            bool written = act->pin & (GNTPIN_hstw_mask | GNTPIN_devw_mask);
            unsigned int should_be = (act->pin ? GTF_reading : 0) | (written ? GTF_writing : 0);

            if ( is != should_be )
                right = wrong("status of reference", rd, ref, is, should_be);
        }
        if ( act->pin && mfn_valid(act->mfn) )
        {
            unsigned int frame = mfn_to_page(act->mfn) - frame_table;

            frame_uses[frame] += tally->uses;
            frame_writes[frame] += tally->writes;
        }
    }
    free(tallies);
    return right;
}

/* A domain that crashed, or is half gone, has had references dropped that its records still show. */
static bool all_count(void)
{
    struct domain *d;

    if ( implicitly_unmapped )
        return false;
    for_each_domain(d)
        if ( d->is_shutting_down || d->stage == RELEASING )
            return false;
    return true;
}

static bool frames_at_rest(const struct domain *d)
{
    bool right = true;

    for ( unsigned int n = 0; n < RAM_PAGES; n++ )
    {
        struct page_info *page = own_page(d, n);
        unsigned int i = page - frame_table;
        unsigned long uses = page->count_info & PGC_count_mask;
        unsigned long writes = page->u.inuse.type_info & PGT_count_mask;

        if ( uses != frame_uses[i] + !!(page->count_info & PGC_allocated) )
            right = wrong("references of page", d, n, uses, frame_uses[i] + 1UL);
        if ( writes != frame_writes[i] )
            right = wrong("writable types of page", d, n, writes, frame_writes[i]);
    }
    return right;
}

/* Host mappings by frame, as a PV or a translated mapper has them. */
static bool hosts_at_rest(struct domain *ld)
{
    unsigned int *uses = calloc(2 * GUEST_FRAMES, sizeof(*uses));
    struct domain *rd;
    bool right = true;

    for ( unsigned int entry = 0; entry < ENTRIES; entry++ )
    {
        uint64_t host = see_host(ld->domain_id, entry);
        l1_pgentry_t pte = { host };
        mfn_t mfn = ld->translated ? p2m_mfn(host) : l1e_get_mfn(pte);
        bool writable = ld->translated ? p2m_type(host) == p2m_grant_map_rw
                                       : l1e_get_flags(pte) & _PAGE_RW;

        if ( host )
            uses[2 * (mfn_x(mfn) - FIRST_MFN) + writable]++;
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
            uses[i] -= MASK_EXTR(act->pin, GNTPIN_hstr_mask);
            uses[i + 1] -= MASK_EXTR(act->pin, GNTPIN_hstw_mask);
        }
#ifndef HANDLE_fast
    /* Stock takes a p2m entry for a mapping's whatever it permits, as long as it is of the frame. */
    if ( ld->translated )
        for ( unsigned int i = 0; i < 2 * GUEST_FRAMES; i += 2 )
        {
            uses[i] += uses[i + 1];
            uses[i + 1] = 0;
        }
#endif
    for ( unsigned int i = 0; i < 2 * GUEST_FRAMES; i++ )
        if ( uses[i] )
            right = wrong(i % 2 ? "writable host mappings too many of frame"
                                : "read-only host mappings too many of frame",
                          ld, i / 2, uses[i], 0);
    free(uses);
    return right;
}

#ifdef BUS_REGION_FRAMES
/* What devices reach at the bus address of a mapping: its frame, and to do no more than it may. */
static bool reaches(struct domain *ld, dfn_t dfn, unsigned int flags,
                    const struct active_grant_entry *act)
{
    const struct bus_entry *entry = bus_entry(ld->bus, dfn);
    unsigned int permitted = flags & GNTMAP_readonly ? IOMMUF_readable
                                                     : IOMMUF_readable | IOMMUF_writable;

    if ( entry->now.flags == permitted && entry->now.mfn == mfn_x(act->mfn) )
        return true;
    return wrong("devices reach at frame", ld, dfn_x(dfn), entry->now.mfn, mfn_x(act->mfn));
}

/* Each bus address is of one mapping that is live, and each such mapping has one. */
static bool bus_at_rest(struct domain *ld)
{
    struct grant_table *gt = ld->grant_table;
    unsigned int nr = 0;
    struct domain *rd;
    bool right = true;

    for ( unsigned int handle = 0; handle < gt->maptrack_limit; handle++ )
    {
        const struct grant_mapping *map = &maptrack_entry(gt, handle);

        if ( !map->flags || map->domid == ld->domain_id || !(rd = find_domain(map->domid)) )
            continue;
        right &= reaches(ld, bus_frame(handle, 0), map->flags,
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
                    right &= reaches(ld, bus_frame(fast_handle(rd->domain_id, ref), i),
                                     act->slot[i], act);
                    nr++;
                }
        }
    if ( ld->bus->nr != nr )
        right = wrong("bus addresses", ld, 0, ld->bus->nr, nr);
    if ( ld->bus->nr_cached )
        right = wrong("bus addresses that devices remember", ld, 0, ld->bus->nr_cached, 0);
    return right;
}
#else
static bool bus_at_rest(struct domain *ld)
{
    return true;
}
#endif

static bool at_rest(void)
{
    struct domain *d;
    bool right = true;

    frame_uses = calloc(GUEST_FRAMES, sizeof(*frame_uses));
    frame_writes = calloc(GUEST_FRAMES, sizeof(*frame_writes));
    if ( all_count() )
        for_each_domain(d)
            right &= entries_at_rest(d);
    if ( all_count() )
        for_each_domain(d)
        {
            right &= frames_at_rest(d);
            if ( d->stage == ALIVE )
            {
                right &= hosts_at_rest(d);
                right &= handles_at_rest(d);
            }
        }
    for_each_domain(d)
        if ( d->bus && d->stage == ALIVE && !d->is_shutting_down )
            right &= bus_at_rest(d);
    free(frame_uses);
    free(frame_writes);
    if ( !free_pages_at_rest(0) )
    {
        fprintf(stderr, "a page was written after it was freed\n");
        right = false;
    }
    return right;
}
