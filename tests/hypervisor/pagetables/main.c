/*
 * Random mappings and unmappings with checks of the page tables:
 *
 *     pagetables SEED BATCHES
 *
 * As for a PV domain in strict mode, there are two kinds of mappings: of the domain's own pages at
 * their machine addresses, which are contiguous and sometimes become superpages; and transient
 * mappings in a region far above.  Checked are: unmapping a transient mapping never fails; at most
 * KEPT tables without mappings remain; a table is flushed before it is freed; devices can access a
 * page as soon as it is mapped, even if no other flush is done in between.  With an odd seed, IOMMUs
 * need flushes of new mappings.  At the end the domain is destroyed with mappings left.  The
 * program prints the maximum number of tables and the number of tables allocated for transient
 * mappings.
 */
#include "frames.h"

enum { KEPT = 256, OWN = 4 * 512, TARGETS = 6000, BATCH = 32, GRANTERS = 40 };
#define OWN_FIRST 0x100000UL

/*
 * Transient mappings and mappings of the domain's own pages; flags 0: not mapped at present.  The
 * first TABLE_ENTRIES of each fill a table.
 */
static struct target {
    uint64_t dfn;
    unsigned long mfn;
    unsigned int flags;
} targets[TARGETS], own[OWN];
enum { TABLE_ENTRIES = 512 };

static void check_mapping(const struct domain *d, const struct target *target)
{
    struct page_info *table = root_table(d);
    unsigned int level = LEVELS, flags = 0;
    unsigned long mfn = 0;

    for ( ; table; level-- )
    {
        const unsigned char *page = __map_domain_page(table);
        const uint64_t *entries = (const void *)(coherent ? page : iommu_view + (page - memory));
        uint64_t entry = entries[target->dfn >> 9 * (level - 1) & 511];

        BUG_ON(!level || table->use != TABLE);
        table = NULL;
        if ( entry_used(entry) && !(table = entry_table(entry, level)) )
            mfn = mfn_x(entry_frame(entry, &flags)) +
                  (target->dfn & ((1UL << 9 * (level - 1)) - 1));
    }
    BUG_ON(flags != target->flags);
    BUG_ON(flags && mfn != target->mfn);
}

/* IOMMUs cache upper levels, which the caller of an unmapping may not have flushed yet. */
static void check_access(const struct domain *d, const struct target *target)
{
    unsigned int flags;
    unsigned long mfn = device_access(d, target->dfn, &flags);

    BUG_ON(flags != target->flags);
    BUG_ON(flags && mfn != target->mfn);
}

/* Mark all tables below @table as visited; return how many of the lowest level are empty. */
static unsigned int empty_tables(struct page_info *table, unsigned int level)
{
    const uint64_t *entries = __map_domain_page(table);
    unsigned int used = 0, empty = 0;

    BUG_ON(table->use != TABLE || table->visited);
    table->visited = true;
    for ( unsigned int i = 0; i < 512; i++ )
    {
        struct page_info *next;

        if ( !entry_used(entries[i]) )
            continue;
        used++;
        if ( (next = entry_table(entries[i], level)) )
            empty += empty_tables(next, level - 1);
    }
    /* The drivers keep empty tables right below the root. */
    BUG_ON(!used && level > 1 && level < LEVELS - 1);
    return empty + (!used && level == 1);
}

static void check_tables(const struct domain *d)
{
    unsigned int tables = 0;

    if ( root_table(d) )
        BUG_ON(empty_tables(root_table(d), LEVELS) > KEPT);
    for ( unsigned int i = 0; i < FRAMES; i++ )
    {
        tables += pages[i].use == TABLE;
        BUG_ON((pages[i].use == TABLE) != pages[i].visited);
        pages[i].visited = false;
    }
    BUG_ON(tables != in_use);
}

/* Map or unmap one of the domain's own pages. */
static void change_own(struct domain *d, struct target *target, unsigned int *flush_flags)
{
    unsigned int flags = target->flags ? 0 : IOMMUF_readable | IOMMUF_writable, flushed = 0;

    if ( !flags )
    {
        int rc = unmap_page(d, _dfn(target->dfn), 0, &flushed);

        BUG_ON(rc && !no_memory);
        BUG_ON(!rc && !(flushed & IOMMU_FLUSHF_modified));
        if ( !rc )
            target->flags = 0;
    }
    else if ( !map_page(d, _dfn(target->dfn), _mfn(target->mfn), flags, &flushed) )
        target->flags = flags;
    else
        BUG_ON(!no_memory);
    *flush_flags |= flushed;
    check_mapping(d, target);
}

/* Map a target, which may be mapped already. */
static void map_target(struct domain *d, struct target *target)
{
    unsigned int before = target->flags;
    bool writable = target < targets + TABLE_ENTRIES || random_below(2);

    last_flush = 0;
    if ( map_transient(d, _dfn(target->dfn), _mfn(target->mfn), writable) )
        BUG_ON(!no_memory || before || last_flush);
    else
    {
        target->flags = IOMMUF_readable | (writable ? IOMMUF_writable : 0);
        BUG_ON(last_flush != (before ? IOMMU_FLUSHF_added | IOMMU_FLUSHF_modified
                              : iommu_ops.flush_non_present ? IOMMU_FLUSHF_added
                                                            : 0));
    }
    check_mapping(d, target);
    check_access(d, target);
}

/* Unmap targets, some of which may not be mapped. */
static void unmap_targets(struct domain *d, struct target *const *which, unsigned int nr,
                          unsigned int *flush_flags)
{
    unsigned long before = full_flushes;
    dfn_t dfns[BATCH] = { 0 };
    unsigned int flushed;

    for ( unsigned int i = 0; i < nr; i++ )
        dfns[i] = _dfn(which[i]->dfn);
    flushed = unmap_transient(d, dfns, nr);
    BUG_ON(!(flushed & IOMMU_FLUSHF_modified) && full_flushes == before);
    *flush_flags |= flushed;
    for ( unsigned int i = 0; i < nr; i++ )
    {
        which[i]->flags = 0;
        check_mapping(d, which[i]);
    }
}

static void change(struct domain *d, struct target *target, unsigned int *flush_flags)
{
    if ( !target->flags || !random_below(64) )
        map_target(d, target);
    else
        unmap_targets(d, &target, 1, flush_flags);
}

/* All tables are freed, and a dying domain gets no new ones. */
static void destroy_domain(struct domain *d)
{
    unsigned int flush_flags = 0;

    d->is_dying = true;
    BUG_ON(free_tables(d) || in_use || root_table(d));
    for ( unsigned int i = 0; i < TARGETS; i++ )
    {
        dfn_t dfn = _dfn(targets[i].dfn);

        BUG_ON(map_transient(d, dfn, _mfn(targets[i].mfn), true));
        flush_flags |= unmap_transient(d, &dfn, 1);
    }
    BUG_ON(in_use || any_table_queued() || (flush_flags & IOMMU_FLUSHF_all));
}

int main(int argc, char **argv)
{
    struct domain d = { .iommu.platform_ops = &iommu_ops };
    unsigned long batches, for_transient = 0;

    if ( argc != 3 )
        return 2;
    seed_random(strtoull(argv[1], NULL, 0));
    batches = strtoul(argv[2], NULL, 0);
    create_frames();
    failing_arrays = 2000;
    begin_tables(&d);
    iommu_ops.flush_non_present = strtoull(argv[1], NULL, 0) & 1;
    for ( unsigned int i = 0; i < OWN; i++ )
        own[i] = (struct target){ OWN_FIRST + i, OWN_FIRST + i, 0 };
    /* Mostly low references of a few granters, otherwise any reference of any domain. */
    for ( unsigned int i = 0; i < TARGETS; i++ )
    {
        uint64_t part = 1 + random_below(2);
        unsigned int domid = 1 + random_below(i % 4 ? GRANTERS : 32000);
        unsigned int ref = random_below(i % 4 ? 1200 : 65536);

        if ( i < TABLE_ENTRIES )
            part = domid = 1, ref = TABLE_ENTRIES + i;
        /* Contiguous and aligned, as for a superpage. */
        targets[i].dfn = REGION + (part << 31) + (uint64_t)domid * 65536 + ref;
        targets[i].mfn = (1UL << 33) + (targets[i].dfn & 0xfffff);
        for ( unsigned int j = 0; j < i; j++ )
            if ( targets[j].dfn == targets[i].dfn )
                targets[i--].dfn = 0, j = TARGETS;
    }

    for ( unsigned long batch = 0; batch < batches; batch++ )
    {
        unsigned int n = 1 + random_below(BATCH), flush_flags = 0;
        bool transient = random_below(4);
        unsigned int first = random_below(transient ? TARGETS : OWN);
        struct target *mapped[BATCH];
        unsigned int nr_mapped = 0;
        bool at_once = random_below(2);
        unsigned long before = allocations;
        enum { ANY, NEAR, SAME } pattern = random_below(3);

        no_memory = !random_below(8) && batch > 10;
        /* At times map or unmap a whole table. */
        for ( unsigned int i = 0; i < TABLE_ENTRIES && !(batch % 512); i++ )
            if ( !(transient ? targets : own)[i].flags != !(batch & 512) )
            {
                if ( transient )
                    change(&d, &targets[i], &flush_flags);
                else
                    change_own(&d, &own[i], &flush_flags);
            }
        while ( n-- )
        {
            unsigned int index = pattern == ANY    ? random_below(TARGETS)
                                 : pattern == NEAR ? first++ % TARGETS
                                                   : first % TARGETS;
            struct target *target = &targets[index];

            if ( !transient )
                change_own(&d, &own[first++ % OWN], &flush_flags);
            else if ( at_once && (target->flags || !random_below(16)) )
                mapped[nr_mapped++] = target;
            else
                change(&d, target, &flush_flags);
        }
        if ( nr_mapped )
            unmap_targets(&d, mapped, nr_mapped, &flush_flags);
        if ( transient )
            for_transient += allocations - before;
        flush(&d, flush_flags);
        check_mapping(&d, &targets[random_below(TARGETS)]);
        check_mapping(&d, &own[random_below(OWN)]);
        if ( !(batch % 64) )
            check_tables(&d);
    }
    /* Unmap everything; few tables may remain. */
    no_memory = false;
    for ( unsigned int i = 0; i < TARGETS; i++ )
    {
        unsigned int flush_flags = 0;

        while ( targets[i].flags )
            change(&d, &targets[i], &flush_flags);
        flush(&d, flush_flags);
    }
    check_tables(&d);
    for ( unsigned int i = 0; i < TARGETS; i += 3 )
        map_target(&d, &targets[i]);
    destroy_domain(&d);
    printf("%u tables at most, %lu for transient mappings\n", max_in_use, for_transient);
    return 0;
}
