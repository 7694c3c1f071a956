/* Memory ranges and their owners, for traces of the cache lines an operation touches. */

static void list_table_memory(memory_callback callback, unsigned int domid, struct grant_table *gt)
{
    unsigned int actives = num_act_frames_from_sha_frames(nr_grant_frames(gt));

    callback("table", domid, gt, sizeof(*gt));
    callback("frame pointers", domid, gt->active, actives * sizeof(*gt->active));
    callback("frame pointers", domid, gt->shared_raw,
             nr_grant_frames(gt) * sizeof(*gt->shared_raw));
    callback("frame pointers", domid, gt->maptrack, nr_maptrack_frames(gt) * sizeof(*gt->maptrack));
    for ( unsigned int i = 0; i < actives; i++ )
        callback("active entries", domid, gt->active[i], PAGE_SIZE);
    for ( unsigned int i = 0; i < nr_grant_frames(gt); i++ )
        callback("shared entries", domid, gt->shared_raw[i], PAGE_SIZE);
    for ( unsigned int i = 0; i < nr_maptrack_frames(gt); i++ )
        callback("maptrack", domid, gt->maptrack[i], PAGE_SIZE);
#ifdef HANDLE_fast
    if ( gt->granters )
        callback("granters", domid, gt->granters, PAGE_SIZE);
#endif
}

/* A range that is part of another one is reported before it. */
static void list_memory(memory_callback callback)
{
    struct domain *d;

    for_each_domain(d)
    {
        list_table_memory(callback, d->domain_id, d->grant_table);
        callback("domain", d->domain_id, d, sizeof(*d));
        callback("vCPUs", d->domain_id, d->vcpu, d->max_vcpus * sizeof(*d->vcpu));
        for ( unsigned int i = 0; i < d->max_vcpus; i++ )
            callback("vCPU", d->domain_id, d->vcpu[i], sizeof(*d->vcpu[i]));
        callback("PTEs", d->domain_id, l1_entry(d, 0), L1_PAGES * PAGE_SIZE);
        if ( d->iommu )
            callback("IOMMU", d->domain_id, d->iommu, NR_FRAMES);
    }
    callback("page_info", -1, frame_table, NR_FRAMES * sizeof(*frame_table));
    callback("table locks of CPUs", -1, grant_rwlock, sizeof(grant_rwlock));
    callback("p2m locks of CPUs", -1, p2m_readers, sizeof(p2m_readers));
    callback("domain list", -1, &domains, sizeof(domains));
}
