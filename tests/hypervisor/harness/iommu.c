/*
 * What a domain's devices reach where each mapping has a bus address of its own: by address, what is
 * mapped there, and what an IOTLB may still hold.  The lock is the one that a driver has.
 */
#ifdef BUS_REGION_FRAMES

enum { BUS_ENTRIES = 1 << 17, MOST_CACHED = 1024 };

/* flags 0: nothing */
struct reach {
    unsigned long mfn;
    unsigned int flags;
};

struct bus_entry {
    uint64_t dfn; /* 0: unused */
    struct reach now, cached;
};

/* By frame: how many mappings of one domain reach it. */
struct reached {
    uint16_t reading, writing;
};

struct bus {
    spinlock_t lock;
    struct bus_entry *entries;
    struct reached *frames;
    struct bus_entry *cached[MOST_CACHED];
    unsigned int nr, nr_cached;
    unsigned long flushes;
};

/* By frame, of all domains: how many bus addresses lead there, those not flushed included. */
static unsigned int *led_to, *led_to_writing;

static void begin_bus(struct domain *d)
{
    if ( !has_bus_region(d) )
        return;
    d->bus = calloc(1, sizeof(*d->bus));
    d->bus->entries = map_zeroes(BUS_ENTRIES * sizeof(*d->bus->entries));
    d->bus->frames = map_zeroes(NR_FRAMES * sizeof(*d->bus->frames));
    if ( !led_to )
    {
        led_to = map_zeroes(NR_FRAMES * sizeof(*led_to));
        led_to_writing = map_zeroes(NR_FRAMES * sizeof(*led_to_writing));
    }
}

static void lead(const struct reach *reach, int by)
{
    __atomic_fetch_add(&led_to[reach->mfn - FIRST_MFN], by, __ATOMIC_SEQ_CST);
    if ( reach->flags & IOMMUF_writable )
        __atomic_fetch_add(&led_to_writing[reach->mfn - FIRST_MFN], by, __ATOMIC_SEQ_CST);
}

/* Of who has let go of all its mappings, nothing is left, nor may any device remember anything. */
static void bus_is_clear(const struct domain *d)
{
    BUG_ON(d->bus && (d->bus->nr || d->bus->nr_cached));
}

static void end_bus(struct domain *d)
{
    if ( !d->bus )
        return;
    for ( unsigned int i = 0; i < BUS_ENTRIES && d->bus->nr; i++ )
        if ( d->bus->entries[i].now.flags )
        {
            d->bus->nr--;
            lead(&d->bus->entries[i].now, -1);
        }
    while ( d->bus->nr_cached )
        lead(&d->bus->cached[--d->bus->nr_cached]->cached, -1);
    munmap(d->bus->entries, BUS_ENTRIES * sizeof(*d->bus->entries));
    munmap(d->bus->frames, NR_FRAMES * sizeof(*d->bus->frames));
    free(d->bus);
}

static struct bus_entry *bus_entry(struct bus *bus, dfn_t dfn)
{
    /* Nothing but grant mappings is there: CPUs do not get as far. */
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

/* Note that a mapping more, or less, lets devices reach a frame. */
static void reach(struct domain *d, const struct reach *reach, int by)
{
    unsigned int frame = reach->mfn - FIRST_MFN;
    struct reached *reached = &d->bus->frames[frame];

    if ( reach->flags & IOMMUF_writable )
        reached->writing += by;
    else
        reached->reading += by;
    d->iommu_mappings -= !!d->iommu[frame];
    d->iommu[frame] = reached->writing   ? IOMMUF_readable | IOMMUF_writable
                      : reached->reading ? IOMMUF_readable
                                         : 0;
    d->iommu_mappings += !!d->iommu[frame];
    d->bus->nr += by;
}

static inline int iommu_map_transient(struct domain *d, dfn_t dfn, mfn_t mfn, bool writable)
{
    struct bus_entry *entry;

    BUG_ON(!mfn_valid(mfn));
    /* It may need a page table, and does not say when. */
    if ( happens("map for devices", mfn_x(mfn)) || !may_allocate() )
        return -ENOMEM;
    take_ticket(&d->bus->lock);
    entry = bus_entry(d->bus, dfn);
    if ( entry->now.flags )
        broken("a bus address was given to two mappings", __FILE__, __LINE__);
    if ( entry->cached.flags )
        broken("a bus address was used again before it was flushed", __FILE__, __LINE__);
    entry->now = (struct reach){ mfn_x(mfn), IOMMUF_readable | (writable ? IOMMUF_writable : 0) };
    lead(&entry->now, 1);
    reach(d, &entry->now, 1);
    spin_unlock(&d->bus->lock);
    return 0;
}

static inline unsigned int iommu_unmap_transient(struct domain *d, const dfn_t *dfns,
                                                 unsigned int nr)
{
    for ( unsigned int i = 0; i < nr; i++ )
    {
        struct bus_entry *entry;

        take_ticket(&d->bus->lock);
        entry = bus_entry(d->bus, dfns[i]);
        spin_unlock(&d->bus->lock);
        happens("unmap from devices", entry->now.mfn);
        take_ticket(&d->bus->lock);
        if ( entry->now.flags )
        {
            BUG_ON(entry->cached.flags || d->bus->nr_cached == MOST_CACHED);
            reach(d, &entry->now, -1);
            entry->cached = entry->now;
            entry->now = (struct reach){ 0 };
            d->bus->cached[d->bus->nr_cached++] = entry;
        }
        spin_unlock(&d->bus->lock);
    }
    return IOMMU_FLUSHF_modified;
}

static int flush_bus(struct domain *d, uint64_t first, uint64_t last, unsigned int flush_flags)
{
    unsigned int left = 0;

    /* As what was not there is not held, there is nothing to flush of it. */
    if ( !(flush_flags & IOMMU_FLUSHF_modified) )
        return 0;
    if ( happens("flush IOTLB", first) )
        return -EIO;
    take_ticket(&d->bus->lock);
    d->bus->flushes++;
    for ( unsigned int i = 0; i < d->bus->nr_cached; i++ )
    {
        struct bus_entry *entry = d->bus->cached[i];

        if ( entry->dfn < first || entry->dfn > last )
            d->bus->cached[left++] = entry;
        else
        {
            lead(&entry->cached, -1);
            entry->cached = (struct reach){ 0 };
        }
    }
    d->bus->nr_cached = left;
    spin_unlock(&d->bus->lock);
    return 0;
}

static inline int iommu_iotlb_flush(struct domain *d, dfn_t dfn, unsigned long nr,
                                    unsigned int flush_flags)
{
    /* Drivers flush no more than they have to if it is a power of 2, and aligned. */
    BUG_ON(!nr || (nr & (nr - 1)) || (dfn_x(dfn) & (nr - 1)));
    return flush_bus(d, dfn_x(dfn), dfn_x(dfn) + nr - 1, flush_flags);
}

static inline int iommu_iotlb_flush_all(struct domain *d, unsigned int flush_flags)
{
    return flush_bus(d, 0, ~0UL, flush_flags);
}

/*
 * With a reference or type less, it still has one for each bus address that leads there, on top of
 * the one that comes with its being allocated.
 */
static inline void still_held(const struct page_info *page, unsigned long references,
                              unsigned long types)
{
    unsigned int frame = page - frame_table;

    if ( !led_to )
        return;
    if ( (references & PGC_count_mask) <
         __atomic_load_n(&led_to[frame], __ATOMIC_SEQ_CST) + !!(references & PGC_allocated) )
        broken("a page is let go of which devices reach", __FILE__, __LINE__);
    if ( page->owner && !page->owner->translated &&
         (types & PGT_count_mask) < __atomic_load_n(&led_to_writing[frame], __ATOMIC_SEQ_CST) )
        broken("a page is not writable which devices write", __FILE__, __LINE__);
}

/* Off and on, before there are domains. */
static void set_bus_region(bool enabled)
{
    opt_bus_region = enabled;
    bus_region = 0;
    gnttab_bus_region_init();
}

#else

/* Stock knows machine addresses only. */
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

static void begin_bus(struct domain *d) {}
static void bus_is_clear(const struct domain *d) {}
static void end_bus(struct domain *d) {}
static void set_bus_region(bool enabled) {}
static inline void still_held(const struct page_info *page, unsigned long references,
                              unsigned long types)
{}

#endif
