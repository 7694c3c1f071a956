#include <sys/mman.h>

#include "frames.h"

struct page_info pages[FRAMES];
unsigned char *memory, *iommu_view;
unsigned long allocations, full_flushes;
unsigned int in_use, max_in_use, last_flush, failing_arrays, failed_allocations, messages;
bool no_memory;

static uint64_t state;
static unsigned int nr_queued;
static struct page_info *queued[FRAMES];
/* Whether a table was queued after the last full flush. */
static bool unflushed;

/* Xen permits 10 messages at first. */
int printk_ratelimit(void)
{
    static unsigned int calls;

    return calls++ < 10;
}

void seed_random(uint64_t seed)
{
    state = seed;
}

unsigned int random_below(unsigned int below)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % below;
}

void create_frames(void)
{
    memory = mmap(NULL, 2 * FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                  -1, 0);
    iommu_view = memory + FRAMES * PAGE_SIZE;
}

struct page_info *alloc_domheap_page(struct domain *d, unsigned int flags)
{
    static unsigned int next;

    if ( no_memory )
    {
        failed_allocations++;
        return NULL;
    }
    for ( unsigned int n = 0; n < FRAMES; n++ )
    {
        struct page_info *page = &pages[next++ % FRAMES];

        if ( page->use != UNUSED )
            continue;
        page->use = TABLE;
        memset(&page->u, 0, sizeof(page->u));
        allocations++;
        if ( ++in_use > max_in_use )
            max_in_use = in_use;
        return page;
    }
    return NULL;
}

/* Without the array of kept tables, no table is kept. */
void *zalloc(size_t size)
{
    if ( no_memory )
        return NULL;
    if ( failing_arrays )
    {
        failing_arrays--;
        return NULL;
    }
    return calloc(1, size);
}

void free_domheap_page(struct page_info *page)
{
    BUG_ON(page->use == UNUSED);
    memset(map_domain_page(page_to_mfn(page)), 0xdb, PAGE_SIZE);
    page->use = UNUSED;
    in_use--;
}

struct page_info *next_table(void)
{
    static unsigned int next;

    for ( unsigned int n = 0; n < FRAMES; n++ )
        if ( pages[next++ % FRAMES].use == TABLE )
            return &pages[(next - 1) % FRAMES];
    return NULL;
}

void queue_table(struct page_info *page)
{
    BUG_ON(page->use != TABLE);
    page->use = QUEUED;
    queued[nr_queued++] = page;
    unflushed = true;
}

bool any_table_queued(void)
{
    return nr_queued;
}

/* Cached entries of upper levels: the table of a level for an address prefix. */
static struct cached {
    uint64_t prefix;
    unsigned int level;
    unsigned long flush; /* number of full flushes before it was cached, plus 1 */
    struct page_info *table;
} cache[1 << 14];

static struct cached *cached_table(uint64_t dfn, unsigned int level)
{
    uint64_t prefix = dfn >> 9 * level;

    return &cache[(prefix * LEVELS + level) * 0x9e3779b97f4a7c15UL >> 50];
}

static bool is_cached(const struct cached *entry, uint64_t dfn, unsigned int level)
{
    return entry->flush == full_flushes + 1 && entry->level == level &&
           entry->prefix == dfn >> 9 * level;
}

unsigned long device_access(const struct domain *d, uint64_t dfn, unsigned int *flags)
{
    struct page_info *table = root_table(d);
    unsigned int level = 1;

    /* Begin with the lowest level that is cached. */
    while ( level < LEVELS && !is_cached(cached_table(dfn, level), dfn, level) )
        level++;
    if ( level < LEVELS )
        table = cached_table(dfn, level)->table;

    for ( *flags = 0; table; level-- )
    {
        const unsigned char *page = __map_domain_page(table);
        const uint64_t *entries = (const void *)(coherent ? page : iommu_view + (page - memory));
        uint64_t entry = entries[dfn >> 9 * (level - 1) & 511];

        if ( !entry_used(entry) )
            return 0;
        if ( !(table = entry_table(entry, level)) )
            return mfn_x(entry_frame(entry, flags)) + (dfn & ((1UL << 9 * (level - 1)) - 1));
        *cached_table(dfn, level - 1) = (struct cached){ dfn >> 9 * (level - 1), level - 1,
                                                         full_flushes + 1, table };
    }
    return 0;
}

int iommu_iotlb_flush(struct domain *d, dfn_t dfn, unsigned long nr, unsigned int flush_flags)
{
    BUG_ON(d->iommu.arch.mapping_lock.held || nr != 1);
    last_flush = flush_flags;
    return -!random_below(8);
}

int iommu_iotlb_flush_all(struct domain *d, unsigned int flush_flags)
{
    full_flushes++;
    unflushed = false;
    return 0;
}

void flush(struct domain *d, unsigned int flush_flags)
{
    if ( flush_flags & IOMMU_FLUSHF_all )
        iommu_iotlb_flush_all(d, flush_flags);
    /* Cached tables require a full flush. */
    BUG_ON(unflushed);
    while ( nr_queued )
        free_domheap_page(queued[--nr_queued]);
}
