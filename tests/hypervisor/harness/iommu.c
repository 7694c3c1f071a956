/*
 * IOMMU with a bus address per mapping: current target of each bus address, and the target that an
 * IOTLB may still hold.  The lock is that of the IOMMU driver.
 */
#ifdef BUS_REGION_FRAMES

enum { BUS_ENTRIES = 1 << 17, MAX_CACHED = 1024 };

/* flags 0: not mapped */
struct bus_target {
    unsigned long mfn;
    unsigned int flags;
};

struct bus_entry {
    uint64_t dfn; /* 0: unused */
    struct bus_target now, cached;
};

/* Number of bus addresses of one domain that lead to a frame. */
struct frame_users {
    uint16_t reading, writing;
};

struct bus {
    spinlock_t lock;
    struct bus_entry *entries;
    struct frame_users *frames;
    struct bus_entry *cached[MAX_CACHED];
    unsigned int nr, nr_cached;
    unsigned long flushes, unmaps;
};

/* By frame, over all domains: number of bus addresses that lead there, including cached ones. */
static unsigned int *bus_refs, *bus_write_refs;

/* @supported: whether the domain's kernel supports bus addresses of mappings. */
static void create_bus(struct domain *d, bool supported)
{
    gnttab_enable_own_bus_addrs(d, supported);
    if ( !has_bus_region(d) )
        return;
    d->bus = calloc(1, sizeof(*d->bus));
    d->bus->entries = map_zeroes(BUS_ENTRIES * sizeof(*d->bus->entries));
    d->bus->frames = map_zeroes(NR_FRAMES * sizeof(*d->bus->frames));
    if ( !bus_refs )
    {
        bus_refs = map_zeroes(NR_FRAMES * sizeof(*bus_refs));
        bus_write_refs = map_zeroes(NR_FRAMES * sizeof(*bus_write_refs));
    }
}

static void count_bus_refs(const struct bus_target *target, int by)
{
    __atomic_fetch_add(&bus_refs[target->mfn - FIRST_MFN], by, __ATOMIC_SEQ_CST);
    if ( target->flags & IOMMUF_writable )
        __atomic_fetch_add(&bus_write_refs[target->mfn - FIRST_MFN], by, __ATOMIC_SEQ_CST);
}

/* A domain without mappings has no bus addresses, neither mapped nor cached. */
static void assert_bus_empty(const struct domain *d)
{
    BUG_ON(d->bus && (d->bus->nr || d->bus->nr_cached));
}

static void destroy_bus(struct domain *d)
{
    if ( !d->bus )
        return;
    for ( unsigned int i = 0; i < BUS_ENTRIES && d->bus->nr; i++ )
        if ( d->bus->entries[i].now.flags )
        {
            d->bus->nr--;
            count_bus_refs(&d->bus->entries[i].now, -1);
        }
    while ( d->bus->nr_cached )
        count_bus_refs(&d->bus->cached[--d->bus->nr_cached]->cached, -1);
    munmap(d->bus->entries, BUS_ENTRIES * sizeof(*d->bus->entries));
    munmap(d->bus->frames, NR_FRAMES * sizeof(*d->bus->frames));
    free(d->bus);
}

static struct bus_entry *bus_entry(struct bus *bus, dfn_t dfn)
{
    /* The bus region is above the CPUs' address width. */
    BUG_ON(!(dfn_x(dfn) >> (paddr_bits - PAGE_SHIFT)));
    for ( uint32_t i = dfn_x(dfn) * 0x9e3779b97f4a7c15UL >> 40;; i++ )
    {
        struct bus_entry *entry = &bus->entries[i % BUS_ENTRIES];

        if ( entry->dfn == dfn_x(dfn) )
            return entry;
        if ( !entry->dfn )
        {
            entry->dfn = dfn_x(dfn);
            return entry;
        }
    }
}

/* Count a bus address that leads to a frame (@by 1), or no longer does (-1). */
static void count_bus_target(struct domain *d, const struct bus_target *target, int by)
{
    unsigned int frame = target->mfn - FIRST_MFN;
    struct frame_users *users = &d->bus->frames[frame];

    if ( target->flags & IOMMUF_writable )
        users->writing += by;
    else
        users->reading += by;
    d->iommu_mappings -= !!d->iommu[frame];
    d->iommu[frame] = users->writing   ? IOMMUF_readable | IOMMUF_writable
                      : users->reading ? IOMMUF_readable
                                       : 0;
    d->iommu_mappings += !!d->iommu[frame];
    d->bus->nr += by;
}

static inline int iommu_map_transient(struct domain *d, dfn_t dfn, mfn_t mfn, bool writable)
{
    struct bus_entry *entry;

    BUG_ON(!mfn_valid(mfn));
    /* The driver may have to allocate a page table. */
    if ( report_event("IOMMU map", mfn_x(mfn)) || !allocation_allowed() )
        return -ENOMEM;
    acquire_ticket(&d->bus->lock);
    entry = bus_entry(d->bus, dfn);
    if ( entry->now.flags )
        crash_host("a bus address was given to two mappings", __FILE__, __LINE__);
    if ( entry->cached.flags )
        crash_host("a bus address was used again before it was flushed", __FILE__, __LINE__);
    entry->now = (struct bus_target){
        mfn_x(mfn),
        IOMMUF_readable | (writable ? IOMMUF_writable : 0),
    };
    count_bus_refs(&entry->now, 1);
    count_bus_target(d, &entry->now, 1);
    spin_unlock(&d->bus->lock);
    return 0;
}

static int flush_bus(struct domain *d, uint64_t first, uint64_t last, unsigned int flush_flags)
{
    unsigned int left = 0;

    /* IOTLBs hold no non-present entries, so new mappings need no flush. */
    if ( !(flush_flags & IOMMU_FLUSHF_modified) )
        return 0;
    if ( report_event("flush IOTLB", first) )
        return -EIO;
    report_event("flushed bus frames", last - first + 1);
    acquire_ticket(&d->bus->lock);
    d->bus->flushes++;
    for ( unsigned int i = 0; i < d->bus->nr_cached; i++ )
    {
        struct bus_entry *entry = d->bus->cached[i];

        if ( entry->dfn < first || entry->dfn > last )
            d->bus->cached[left++] = entry;
        else
        {
            count_bus_refs(&entry->cached, -1);
            entry->cached = (struct bus_target){ 0 };
        }
    }
    d->bus->nr_cached = left;
    spin_unlock(&d->bus->lock);
    return 0;
}

static inline unsigned int iommu_unmap_transient(struct domain *d, const dfn_t *dfns,
                                                 unsigned int nr)
{
    for ( unsigned int i = 0; i < nr; i++ )
    {
        struct bus_entry *entry;

        acquire_ticket(&d->bus->lock);
        entry = bus_entry(d->bus, dfns[i]);
        spin_unlock(&d->bus->lock);
        report_event("IOMMU unmap", entry->now.mfn);
        acquire_ticket(&d->bus->lock);
        if ( entry->now.flags )
        {
            BUG_ON(entry->cached.flags || d->bus->nr_cached == MAX_CACHED);
            count_bus_target(d, &entry->now, -1);
            entry->cached = entry->now;
            entry->now = (struct bus_target){ 0 };
            d->bus->cached[d->bus->nr_cached++] = entry;
        }
        spin_unlock(&d->bus->lock);
    }
#ifndef NDEBUG
    /* Xen at times has page tables to free, and flushes everything itself. */
    if ( !(__atomic_add_fetch(&d->bus->unmaps, 1, __ATOMIC_RELAXED) % 16) &&
         !flush_bus(d, 0, ~0UL, IOMMU_FLUSHF_modified) )
        return 0;
#endif
    return IOMMU_FLUSHF_modified;
}

static inline int iommu_iotlb_flush(struct domain *d, dfn_t dfn, unsigned long nr,
                                    unsigned int flush_flags)
{
    /* Drivers flush exactly the range only if it is a power of 2 and aligned. */
    BUG_ON(!nr || (nr & (nr - 1)) || (dfn_x(dfn) & (nr - 1)));
    return flush_bus(d, dfn_x(dfn), dfn_x(dfn) + nr - 1, flush_flags);
}

static inline int iommu_iotlb_flush_all(struct domain *d, unsigned int flush_flags)
{
    return flush_bus(d, 0, ~0UL, flush_flags);
}

/* Number of bus addresses that lead to a frame, and of those at which devices may write. */
static inline unsigned int reached_by_bus(unsigned int frame)
{
    return bus_refs ? __atomic_load_n(&bus_refs[frame], __ATOMIC_SEQ_CST) : 0;
}

static inline unsigned int written_by_bus(unsigned int frame)
{
    return bus_write_refs ? __atomic_load_n(&bus_write_refs[frame], __ATOMIC_SEQ_CST) : 0;
}

/* Called before there are domains. */
static void set_bus_region(bool enabled)
{
    opt_bus_region = enabled;
    bus_region = 0;
    gnttab_bus_region_init();
}

#else

/* Stock has no bus addresses of mappings. */
static inline int iommu_map_transient(struct domain *d, dfn_t dfn, mfn_t mfn, bool writable)
{
    BUG();
}

static inline unsigned int iommu_unmap_transient(struct domain *d, const dfn_t *dfns,
                                                 unsigned int nr)
{
    BUG();
}

static inline int iommu_iotlb_flush(struct domain *d, dfn_t dfn, unsigned long nr,
                                    unsigned int flush_flags)
{
    BUG();
}

static inline int iommu_iotlb_flush_all(struct domain *d, unsigned int flush_flags)
{
    BUG();
}

static void create_bus(struct domain *d, bool supported) {}
static void assert_bus_empty(const struct domain *d) {}
static void destroy_bus(struct domain *d) {}
static void set_bus_region(bool enabled) {}
static inline unsigned int reached_by_bus(unsigned int frame)
{
    return 0;
}

static inline unsigned int written_by_bus(unsigned int frame)
{
    return 0;
}

#endif
