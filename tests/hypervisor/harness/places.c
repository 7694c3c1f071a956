/* Whose memory an address is in, for who traces what an operation touches. */

static void places_of_table(place_teller tell, unsigned int domid, struct grant_table *gt)
{
    unsigned int actives = num_act_frames_from_sha_frames(nr_grant_frames(gt));

    tell("table", domid, gt, sizeof(*gt));
    tell("frame pointers", domid, gt->active, actives * sizeof(*gt->active));
    tell("frame pointers", domid, gt->shared_raw, nr_grant_frames(gt) * sizeof(*gt->shared_raw));
    tell("frame pointers", domid, gt->maptrack, nr_maptrack_frames(gt) * sizeof(*gt->maptrack));
    for ( unsigned int i = 0; i < actives; i++ )
        tell("active entries", domid, gt->active[i], PAGE_SIZE);
    for ( unsigned int i = 0; i < nr_grant_frames(gt); i++ )
        tell("shared entries", domid, gt->shared_raw[i], PAGE_SIZE);
    for ( unsigned int i = 0; i < nr_maptrack_frames(gt); i++ )
        tell("maptrack", domid, gt->maptrack[i], PAGE_SIZE);
#ifdef HANDLE_fast
    if ( gt->granters )
        tell("granters", domid, gt->granters, PAGE_SIZE);
#endif
}

/* In this order: what is part of another comes before it. */
static void see_places(place_teller tell)
{
    struct domain *d;

    for_each_domain(d)
    {
        places_of_table(tell, d->domain_id, d->grant_table);
        tell("domain", d->domain_id, d, sizeof(*d));
        tell("vCPUs", d->domain_id, d->vcpu, d->max_vcpus * sizeof(*d->vcpu));
        for ( unsigned int i = 0; i < d->max_vcpus; i++ )
            tell("vCPU", d->domain_id, d->vcpu[i], sizeof(*d->vcpu[i]));
        tell("PTEs", d->domain_id, l1_entry(d, 0), L1_PAGES * PAGE_SIZE);
        if ( d->iommu )
            tell("IOMMU", d->domain_id, d->iommu, NR_FRAMES);
    }
    tell("page_info", -1, frame_table, NR_FRAMES * sizeof(*frame_table));
    tell("table locks of CPUs", -1, grant_rwlock, sizeof(grant_rwlock));
    tell("domain list", -1, &domains, sizeof(domains));
}
