/*
 * What CPUs and devices may still reach: the p2m lock and its deferred flush, and translations of
 * removed host mappings, which TLBs and IOTLBs may hold until they are flushed.
 */

/* More than the unmaps of all vCPUs between two flushes. */
enum { MAX_STALE = 1024 };

struct stale_translation {
    unsigned int frame;
    bool writable;
};

struct tlb {
    spinlock_t lock;
    unsigned int nr;
    struct stale_translation stale[MAX_STALE];
};

/* By frame, over all domains: number of stale translations that lead there. */
static unsigned int *stale_refs, *stale_write_refs;

static struct percpu_readers p2m_readers[MAX_CPUS];

static void create_tlbs(struct domain *d)
{
    if ( !stale_refs )
    {
        stale_refs = map_zeroes(NR_FRAMES * sizeof(*stale_refs));
        stale_write_refs = map_zeroes(NR_FRAMES * sizeof(*stale_write_refs));
    }
    d->tlb = calloc(1, sizeof(*d->tlb));
    d->iotlb = calloc(1, sizeof(*d->iotlb));
}

static void count_stale(const struct stale_translation *stale, int by)
{
    __atomic_fetch_add(&stale_refs[stale->frame], by, __ATOMIC_SEQ_CST);
    if ( stale->writable )
        __atomic_fetch_add(&stale_write_refs[stale->frame], by, __ATOMIC_SEQ_CST);
}

/* A host mapping was removed that @tlb may hold.  Where costs are measured, TLBs hold nothing. */
static inline void leave_in_tlb(struct tlb *tlb, mfn_t mfn, bool writable)
{
    struct stale_translation *stale;

#ifdef WITHOUT_TLBS
    return;
#endif
    acquire_ticket(&tlb->lock);
    BUG_ON(tlb->nr == MAX_STALE);
    stale = &tlb->stale[tlb->nr++];
    *stale = (struct stale_translation){ mfn_x(mfn) - FIRST_MFN, writable };
    count_stale(stale, 1);
    release_ticket(&tlb->lock);
}

static inline void empty_tlb(struct tlb *tlb)
{
#ifdef WITHOUT_TLBS
    return;
#endif
    acquire_ticket(&tlb->lock);
    while ( tlb->nr )
        count_stale(&tlb->stale[--tlb->nr], -1);
    release_ticket(&tlb->lock);
}

static void destroy_tlbs(struct domain *d)
{
    empty_tlb(d->tlb);
    empty_tlb(d->iotlb);
    free(d->tlb);
    free(d->iotlb);
}

static void flush_tlb(struct domain *d)
{
    empty_tlb(d->tlb);
    flushes++;
    report_event("flush TLB", d->dirty_cpumask);
}

static int flush_iotlb(struct domain *d)
{
    if ( report_event("flush IOTLB", d->domain_id) )
        return -EIO;
    empty_tlb(d->iotlb);
    return 0;
}

/*
 * A page must keep a reference (and a writable type) for each translation that may still lead to
 * it, besides the reference of its allocation.
 */
static inline void check_still_referenced(const struct page_info *page, unsigned long references,
                                          unsigned long types)
{
    unsigned int frame = page - frame_table;
    unsigned int reached = __atomic_load_n(&stale_refs[frame], __ATOMIC_SEQ_CST);
    unsigned int written = __atomic_load_n(&stale_write_refs[frame], __ATOMIC_SEQ_CST);

    if ( (references & PGC_count_mask) <
         reached + reached_by_bus(frame) + !!(references & PGC_allocated) )
        crash_host("reference dropped of a page that is still accessible", __FILE__, __LINE__);
    if ( page->owner && !page->owner->translated &&
         (types & PGT_count_mask) < written + written_by_bus(frame) )
        crash_host("writable type dropped of a page that is still writable", __FILE__, __LINE__);
}

/* As in Xen, the write lock is recursive, and dropping it flushes what its holder has removed. */
static bool p2m_locked_by_me(const struct domain *d)
{
    return __atomic_load_n(&d->p2m_lock.holder, __ATOMIC_RELAXED) == this_cpu + 1;
}

static void lock_p2m(struct domain *d)
{
    if ( !p2m_locked_by_me(d) )
    {
        count_lock("p2m", &d->p2m_lock.lock);
        report_event("lock &p2m->lock", (uintptr_t)&d->p2m_lock);
        percpu_write_acquire(p2m_readers, &d->p2m_lock.lock);
        __atomic_store_n(&d->p2m_lock.holder, this_cpu + 1, __ATOMIC_RELAXED);
    }
    d->p2m_lock.depth++;
}

static void unlock_p2m(struct domain *d)
{
    bool flush = d->p2m_lock.need_flush;

    BUG_ON(!p2m_locked_by_me(d));
    if ( --d->p2m_lock.depth )
        return;
    d->p2m_lock.need_flush = false;
    __atomic_store_n(&d->p2m_lock.holder, 0, __ATOMIC_RELAXED);
    percpu_write_release(&d->p2m_lock.lock);
    report_event("unlock &p2m->lock", (uintptr_t)&d->p2m_lock);
    if ( flush )
        flush_tlb(d);
}

static inline void p2m_batch_begin(struct domain *d)
{
    lock_p2m(d);
}

static inline void p2m_batch_end(struct domain *d)
{
    unlock_p2m(d);
}

/* By CPU: a domain whose removed entries it does not flush from IOTLBs yet. */
static struct domain *iotlb_deferred[MAX_CPUS];

static inline void iommu_defer_iotlb_flush(struct domain *d)
{
    iotlb_deferred[this_cpu] = d;
}

static inline int iommu_deferred_iotlb_flush(struct domain *d)
{
    BUG_ON(iotlb_deferred[this_cpu] != d);
    iotlb_deferred[this_cpu] = NULL;
    return d->need_iommu && d->iotlb->nr ? flush_iotlb(d) : 0;
}
