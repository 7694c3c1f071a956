/*
 * Map and unmap at random, and look at the tables:
 *
 *     pagetables SEED BATCHES
 *
 * There are two kinds of mappings, as for a PV domain in strict mode: of its own pages, at their
 * machine address, contiguous and so superpages now and then; and transient ones far beyond.  Of the
 * latter, unmapping never fails; of tables without a mapping no more than KEPT are left; and a table
 * that is freed is flushed before.  With an odd seed IOMMUs have to be told of what was not there.  In
 * the end the domain dies with mappings left.  On stdout, how many of the tables there were at most, and how
 * often one was allocated for a transient mapping.
 */
#include <sys/mman.h>

#include "machine.h"

enum { KEPT = 256, OWN = 4 * 512, SPOTS = 6000, BATCH = 32, GRANTERS = 40 };
#define REGION (1ULL << 28)
#define OWN_FIRST 0x100000UL

struct page_info pages[FRAMES];
unsigned char *memory, *written;

static uint64_t state;
static bool no_memory;
static unsigned long allocations;
static unsigned int in_use, most, nr_queued;
static struct page_info *queued[FRAMES];
static unsigned int told; /* what the last mapping has flushed */

static unsigned int any(unsigned int below)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % below;
}

struct page_info *alloc_domheap_page(struct domain *d, unsigned int flags)
{
    static unsigned int next;

    if ( no_memory )
        return NULL;
    for ( unsigned int n = 0; n < FRAMES; n++ )
    {
        struct page_info *page = &pages[next++ % FRAMES];

        if ( page->use != UNUSED )
            continue;
        page->use = TABLE;
        memset(&page->u, 0, sizeof(page->u));
        allocations++;
        if ( ++in_use > most )
            most = in_use;
        return page;
    }
    return NULL;
}

/* Not the first few times: without a list of them, no table is kept. */
void *zalloc(size_t size)
{
    static unsigned int times;

    return no_memory || times++ < 2000 ? NULL : calloc(1, size);
}

void free_domheap_page(struct page_info *page)
{
    BUG_ON(page->use == UNUSED);
    memset(map_domain_page(page_to_mfn(page)), 0xdb, PAGE_SIZE);
    page->use = UNUSED;
    in_use--;
}

struct page_info *any_table(void)
{
    static unsigned int next;

    for ( unsigned int n = 0; n < FRAMES; n++ )
        if ( pages[next++ % FRAMES].use == TABLE )
            return &pages[(next - 1) % FRAMES];
    return NULL;
}

int iommu_iotlb_flush(struct domain *d, dfn_t dfn, unsigned long nr, unsigned int flush_flags)
{
    BUG_ON(d->iommu.arch.mapping_lock.held || nr != 1);
    told = flush_flags;
    return -!any(8);
}

void queue_table(struct page_info *page)
{
    BUG_ON(page->use != TABLE);
    page->use = QUEUED;
    queued[nr_queued++] = page;
}

static void flush(unsigned int flush_flags)
{
    /* What IOMMUs hold of tables goes with all only. */
    BUG_ON(nr_queued && !(flush_flags & IOMMU_FLUSHF_all));
    while ( nr_queued )
        free_domheap_page(queued[--nr_queued]);
}

/* What is to be mapped where, and is.  The first ones of each fill a table. */
static struct spot {
    uint64_t dfn;
    unsigned long mfn;
    unsigned int flags;
} spots[SPOTS], own[OWN];
enum { FULL = 512 };

static void look_up(const struct domain *d, const struct spot *spot)
{
    struct page_info *table = root_table(d);
    unsigned int level = LEVELS, flags = 0;
    unsigned long mfn = 0;

    for ( ; table; level-- )
    {
        const unsigned char *page = __map_domain_page(table);
        const uint64_t *entries = (const void *)(coherent ? page : written + (page - memory));
        uint64_t entry = entries[spot->dfn >> 9 * (level - 1) & 511];

        BUG_ON(!level || table->use != TABLE);
        table = NULL;
        if ( entry_used(entry) && !(table = entry_table(entry, level)) )
            mfn = mfn_x(entry_frame(entry, &flags)) + (spot->dfn & ((1UL << 9 * (level - 1)) - 1));
    }
    BUG_ON(flags != spot->flags);
    BUG_ON(flags && mfn != spot->mfn);
}

/* Tables from one on: all are there; and how many of the lowest level have nothing in them. */
static unsigned int empty_tables(struct page_info *table, unsigned int level)
{
    const uint64_t *entries = __map_domain_page(table);
    unsigned int used = 0, empty = 0;

    BUG_ON(table->use != TABLE || table->reached);
    table->reached = true;
    for ( unsigned int i = 0; i < 512; i++ )
    {
        struct page_info *next;

        if ( !entry_used(entries[i]) )
            continue;
        used++;
        if ( (next = entry_table(entries[i], level)) )
            empty += empty_tables(next, level - 1);
    }
    /* The drivers leave those right below the root, of which there are few. */
    BUG_ON(!used && level > 1 && level < LEVELS - 1);
    return empty + (!used && level == 1);
}

static void look(const struct domain *d)
{
    unsigned int tables = 0;

    if ( root_table(d) )
        BUG_ON(empty_tables(root_table(d), LEVELS) > KEPT);
    for ( unsigned int i = 0; i < FRAMES; i++ )
    {
        tables += pages[i].use == TABLE;
        BUG_ON((pages[i].use == TABLE) != pages[i].reached);
        pages[i].reached = false;
    }
    BUG_ON(tables != in_use);
}

/* One of the domain's own pages. */
static void change_own(struct domain *d, struct spot *spot, unsigned int *flush_flags)
{
    unsigned int wanted = spot->flags ? 0 : IOMMUF_readable | IOMMUF_writable, done = 0;

    if ( !wanted )
    {
        int rc = unmap_page(d, _dfn(spot->dfn), 0, &done);

        BUG_ON(rc && !no_memory);
        BUG_ON(!rc && !(done & IOMMU_FLUSHF_modified));
        if ( !rc )
            spot->flags = 0;
    }
    else if ( !map_page(d, _dfn(spot->dfn), _mfn(spot->mfn), wanted, &done) )
        spot->flags = wanted;
    else
        BUG_ON(!no_memory);
    *flush_flags |= done;
    look_up(d, spot);
}

/* Now and then what is mapped already, to be on the safe side. */
static void map_spot(struct domain *d, struct spot *spot)
{
    unsigned int before = spot->flags;
    bool writable = spot < spots + FULL || any(2);

    told = 0;
    if ( map_transient(d, _dfn(spot->dfn), _mfn(spot->mfn), writable) )
        BUG_ON(!no_memory || before || told);
    else
    {
        spot->flags = IOMMUF_readable | (writable ? IOMMUF_writable : 0);
        BUG_ON(told != (before                        ? IOMMU_FLUSHF_added | IOMMU_FLUSHF_modified
                        : iommu_ops.flush_non_present ? IOMMU_FLUSHF_added
                                                      : 0));
    }
    look_up(d, spot);
}

/* Some of them may not be mapped. */
static void unmap_spots(struct domain *d, struct spot *const *which, unsigned int nr,
                        unsigned int *flush_flags)
{
    dfn_t dfns[BATCH] = { 0 };

    for ( unsigned int i = 0; i < nr; i++ )
        dfns[i] = _dfn(which[i]->dfn);
    *flush_flags |= unmap_transient(d, dfns, nr);
    BUG_ON(!(*flush_flags & IOMMU_FLUSHF_modified));
    for ( unsigned int i = 0; i < nr; i++ )
    {
        which[i]->flags = 0;
        look_up(d, which[i]);
    }
}

static void change(struct domain *d, struct spot *spot, unsigned int *flush_flags)
{
    if ( !spot->flags || !any(64) )
        map_spot(d, spot);
    else
        unmap_spots(d, &spot, 1, flush_flags);
}

/* Tables go, whatever is in them; and there are no others after. */
static void die(struct domain *d)
{
    unsigned int flush_flags = 0;

    d->is_dying = true;
    BUG_ON(free_tables(d) || in_use || root_table(d));
    for ( unsigned int i = 0; i < SPOTS; i++ )
    {
        dfn_t dfn = _dfn(spots[i].dfn);

        BUG_ON(map_transient(d, dfn, _mfn(spots[i].mfn), true));
        flush_flags |= unmap_transient(d, &dfn, 1);
    }
    BUG_ON(in_use || nr_queued || (flush_flags & IOMMU_FLUSHF_all));
}

int main(int argc, char **argv)
{
    struct domain d = { .iommu.platform_ops = &iommu_ops };
    unsigned long batches, for_transient = 0;

    if ( argc != 3 )
        return 2;
    state = strtoull(argv[1], NULL, 0);
    batches = strtoul(argv[2], NULL, 0);
    memory = mmap(NULL, 2 * FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                  -1, 0);
    written = memory + FRAMES * PAGE_SIZE;
    begin_tables(&d);
    iommu_ops.flush_non_present = state & 1;
    for ( unsigned int i = 0; i < OWN; i++ )
        own[i] = (struct spot){ OWN_FIRST + i, OWN_FIRST + i, 0 };
    /* A few granters' first references, most of them; and any of anybody's. */
    for ( unsigned int i = 0; i < SPOTS; i++ )
    {
        uint64_t part = 1 + any(2);
        unsigned int domid = 1 + any(i % 4 ? GRANTERS : 32000), ref = any(i % 4 ? 1200 : 65536);

        if ( i < FULL )
            part = domid = 1, ref = FULL + i;
        /* Contiguous, and as aligned as they can be: as if to become a superpage. */
        spots[i].dfn = REGION + (part << 31) + (uint64_t)domid * 65536 + ref;
        spots[i].mfn = (1UL << 33) + (spots[i].dfn & 0xfffff);
        for ( unsigned int j = 0; j < i; j++ )
            if ( spots[j].dfn == spots[i].dfn )
                spots[i--].dfn = 0, j = SPOTS;
    }

    for ( unsigned long batch = 0; batch < batches; batch++ )
    {
        unsigned int n = 1 + any(BATCH), flush_flags = 0;
        bool transient = any(4);
        unsigned int first = any(transient ? SPOTS : OWN);
        struct spot *mapped[BATCH];
        unsigned int nr_mapped = 0;
        bool at_once = any(2);
        unsigned long before = allocations;
        enum { ANY, NEAR, SAME } which = any(3);

        no_memory = !any(8) && batch > 10;
        /* Now and then all of a table, or nothing. */
        for ( unsigned int i = 0; i < FULL && !(batch % 512); i++ )
            if ( !(transient ? spots : own)[i].flags != !(batch & 512) )
            {
                if ( transient )
                    change(&d, &spots[i], &flush_flags);
                else
                    change_own(&d, &own[i], &flush_flags);
            }
        while ( n-- )
        {
            struct spot *spot = &spots[which == ANY    ? any(SPOTS)
                                       : which == NEAR ? first++ % SPOTS
                                                       : first % SPOTS];

            if ( !transient )
                change_own(&d, &own[first++ % OWN], &flush_flags);
            else if ( at_once && (spot->flags || !any(16)) )
                mapped[nr_mapped++] = spot;
            else
                change(&d, spot, &flush_flags);
        }
        if ( nr_mapped )
            unmap_spots(&d, mapped, nr_mapped, &flush_flags);
        if ( transient )
            for_transient += allocations - before;
        flush(flush_flags);
        look_up(&d, &spots[any(SPOTS)]);
        look_up(&d, &own[any(OWN)]);
        if ( !(batch % 64) )
            look(&d);
    }
    /* In the end nothing is mapped, and a few tables are left. */
    no_memory = false;
    for ( unsigned int i = 0; i < SPOTS; i++ )
    {
        unsigned int flush_flags = 0;

        while ( spots[i].flags )
            change(&d, &spots[i], &flush_flags);
        flush(flush_flags);
    }
    look(&d);
    for ( unsigned int i = 0; i < SPOTS; i += 3 )
        map_spot(&d, &spots[i]);
    die(&d);
    printf("%u tables at most, %lu for transient mappings\n", most, for_transient);
    return 0;
}
