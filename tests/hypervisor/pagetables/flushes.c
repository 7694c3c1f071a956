/*
 * Full flushes that transient mappings cause:
 *
 *     flushes MODE TABLES OPERATIONS
 *
 * Each operation maps and unmaps one page.  The pages are in TABLES different tables, which mappings
 * use in turn.  MODE selects the tables: `near` ones follow each other; `far` ones are as far apart
 * as the region permits, so that each has upper-level tables of its own; `hash` ones have equal upper
 * bits when multiplied with 2^32 / phi.  Then there is no memory for as many operations on other
 * tables.  The program prints the number of full flushes and the maximum number of tables with
 * memory, and the numbers of failed allocations and of messages without.
 */
#include "frames.h"

/* Number of lowest-level tables in the region. */
#define REGION_TABLES (3ULL << (31 - 9))

static uint64_t table_frame(const char *mode, unsigned int n, unsigned int tables)
{
    uint32_t nr = REGION >> 9;

    if ( !strcmp(mode, "far") )
        return REGION + (n * (REGION_TABLES / tables) << 9);
    if ( !strcmp(mode, "hash") )
        for ( ;; nr++ )
            if ( !(nr * 0x9e3779b1U >> 24) && !n-- )
                return (uint64_t)nr << 9;
    return REGION + ((uint64_t)n << 9);
}

static void map_and_unmap(struct domain *d, uint64_t frame)
{
    dfn_t dfn = _dfn(frame);

    if ( map_transient(d, dfn, _mfn(0x12345), true) )
        BUG_ON(!no_memory);
    flush(d, unmap_transient(d, &dfn, 1));
}

int main(int argc, char **argv)
{
    struct domain d = { .iommu.platform_ops = &iommu_ops };
    unsigned int tables, operations, upper;
    unsigned long flushes;
    uint64_t *frames;

    if ( argc != 4 )
        return 2;
    tables = strtoul(argv[2], NULL, 0);
    operations = strtoul(argv[3], NULL, 0);
    create_frames();
    begin_tables(&d);
    frames = calloc(tables, sizeof(*frames));
    for ( unsigned int i = 0; i < tables; i++ )
        frames[i] = table_frame(argv[1], i, tables);
    for ( unsigned int i = 0; i < operations; i++ )
        map_and_unmap(&d, frames[i % tables]);
    flushes = full_flushes;
    upper = max_in_use;
    no_memory = true;
    for ( unsigned int i = 0; i < operations; i++ )
        map_and_unmap(&d, REGION + ((REGION_TABLES - 1 - i) << 9));
    printf("{\"full_flushes\": %lu, \"tables\": %u, \"failed\": %u, \"messages\": %u}\n", flushes,
           upper, failed_allocations, messages);
    d.is_dying = true;
    free_tables(&d);
    free(frames);
    return 0;
}
