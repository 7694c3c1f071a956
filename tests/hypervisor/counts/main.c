/*
 * Maps and unmaps once for each case, between calls of case_begin() and case_end(), which mark it
 * in a trace.  The program prints for each case its name, how the mapping was recorded and, if
 * built with COUNT, the locks taken; after the cases of a world, its memory ranges.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define __XEN_TOOLS__ 1
#include <public/xen.h>
#include <public/grant_table.h>

#include "../differential/hypervisors.h"
#include "counts.h"

/*
 * The entry of the first reference starts a cache line in each table.  The frames of all pages,
 * including that of the permanent mapping, are in one node of the IOMMU's radix tree, so that no
 * pair allocates or frees a node.
 */
enum { MAPPER = 0, GRANTER = 1, MAX_BATCH = 32, FIRST_REF = 64, PERMANENT_PAGE = 40 };

struct world {
    const char *name;
    const struct hypervisor *side;
    bool fast, iommu;
};

struct count_case {
    const struct world *world;
    const struct hypervisor *side;
    bool host;
    unsigned int batch, nth; /* which mapping of a reference is counted */
};

static _Alignas(LINE) struct gnttab_map_grant_ref maps[MAX_BATCH];
static _Alignas(LINE) struct gnttab_unmap_grant_ref unmaps[MAX_BATCH];
static struct gnttab_unmap_grant_ref held[3][MAX_BATCH];

/* The hypervisor code executed between the calls of these functions is counted. */
__attribute__((noinline)) void case_begin(void)
{
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void case_end(void)
{
    __asm__ volatile("" ::: "memory");
}

static __attribute__((noreturn)) void fail(const char *what, int status)
{
    fprintf(stderr, "%s: %d\n", what, status);
    exit(1);
}

static void fill_map_requests(const struct count_case *c, unsigned int nth)
{
    for ( unsigned int i = 0; i < c->batch; i++ )
        maps[i] = (struct gnttab_map_grant_ref){
            .flags = c->host ? GNTMAP_host_map : GNTMAP_device_map,
            .ref = FIRST_REF + i,
            .dom = GRANTER,
            .host_addr = c->host ? LINEAR_BASE + ((uint64_t)(nth * MAX_BATCH + i) << 12) : 0,
        };
}

/* Fill requests to unmap what was mapped last. */
static void fill_unmap_requests(const struct count_case *c)
{
    for ( unsigned int i = 0; i < c->batch; i++ )
    {
        if ( maps[i].status )
            fail("mapping", maps[i].status);
        unmaps[i] = (struct gnttab_unmap_grant_ref){
            .host_addr = maps[i].host_addr,
            .dev_bus_addr = c->host ? 0 : maps[i].dev_bus_addr,
            .handle = maps[i].handle,
        };
    }
}

static void map(const struct count_case *c, unsigned int nth)
{
    fill_map_requests(c, nth);
    c->side->operate(GNTTABOP_map_grant_ref, maps, c->batch);
    fill_unmap_requests(c);
}

static void unmap(const struct count_case *c)
{
    c->side->operate(GNTTABOP_unmap_grant_ref, unmaps, c->batch);
    for ( unsigned int i = 0; i < c->batch; i++ )
        if ( unmaps[i].status )
            fail("unmapping", unmaps[i].status);
}

/* Map each reference @times times; unmap_held() unmaps this. */
static void map_held(const struct count_case *c, unsigned int times)
{
    for ( unsigned int nth = 1; nth <= times; nth++ )
    {
        map(c, nth);
        memcpy(held[nth - 1], unmaps, sizeof(unmaps));
    }
}

static void unmap_held(const struct count_case *c, unsigned int times)
{
    while ( times-- )
    {
        memcpy(unmaps, held[times], sizeof(unmaps));
        unmap(c);
    }
}

static void begin(const struct world *world)
{
    const struct hypervisor *side = world->side;
    struct domain_config config = { .iommu = world->iommu,
                                    .vcpus = 1,
                                    .max_version = 2,
                                    .grant_frames = 1,
                                    .maptrack_frames = -1 };
    struct gnttab_map_grant_ref permanent = {
        .flags = GNTMAP_device_map,
        .ref = FIRST_REF + PERMANENT_PAGE,
        .dom = GRANTER,
    };
    const struct count_case once = { .side = side, .batch = 1 };

    side->reset();
    side->fast_maptrack(world->fast);
    side->create(MAPPER, &config);
    config.iommu = false;
    side->create(GRANTER, &config);
    for ( unsigned int i = 0; i <= PERMANENT_PAGE; i++ )
        side->grant(GRANTER, FIRST_REF + i, GTF_permit_access, MAPPER, side->gfn(GRANTER, i));
    side->enter(MAPPER, 0, 0);
    side->operate(GNTTABOP_map_grant_ref, &permanent, 1);
    if ( permanent.status )
        fail("permanent mapping", permanent.status);
    /* Warm up, so that no counted mapping allocates memory. */
    map_held(&once, 3);
    unmap_held(&once, 3);
}

static void count(const struct count_case *c)
{
    unsigned long taken[NR_LOCK_KINDS];

    map_held(c, c->nth - 1);
    c->side->take_lock_counts(taken);
    case_begin();
    map(c, c->nth);
    unmap(c);
    case_end();

    printf("case %s, batch %u, mapping %u, %s, IOMMU %s\n", c->world->name, c->batch, c->nth,
           c->host ? "host" : "device", c->world->iommu ? "strict" : "off");
    printf("recorded %s\n", maps[0].handle >> 31 ? "active entry" : "maptrack");
    if ( c->side->take_lock_counts(taken) )
        for ( unsigned int kind = 0; kind < NR_LOCK_KINDS; kind++ )
            printf("lock %lu\n", taken[kind]);
    unmap_held(c, c->nth - 1);
}

static void print_memory(const char *what, int domid, const void *start, unsigned long size)
{
    const char *owner = domid < 0 ? "" : domid == MAPPER ? "mapper's " : "granter's ";

    printf("place %p %#lx %s%s\n", start, size, owner, what);
}

/* The first range reported counts: the rest of the heap is the radix tree. */
static void print_memory_map(const struct hypervisor *side)
{
    extern const char __executable_start, _end;
    const char *here = __builtin_frame_address(0);

    side->list_memory(print_memory);
    print_memory("radix tree", -1, heap, sizeof(heap));
    print_memory("requests", -1, maps, sizeof(maps));
    print_memory("requests", -1, unmaps, sizeof(unmaps));
    print_memory("program", -1, &__executable_start, &_end - &__executable_start);
    print_memory("variables of the CPU", -1, (char *)__builtin_thread_pointer() - 4096, 2 * 4096);
    print_memory("stack", -1, here - (64 << 10), 80 << 10);
}

int main(void)
{
    const struct world worlds[] = {
        { "stock", &stock, false, false },
        { "stock", &stock, false, true },
        { "patched", &patched, true, false },
        { "patched", &patched, true, true },
        { "no-fast-maptrack", &patched, false, false },
        { "no-fast-maptrack", &patched, false, true },
    };

    for ( unsigned int w = 0; w < sizeof(worlds) / sizeof(worlds[0]); w++ )
    {
        begin(&worlds[w]);
        for ( unsigned int i = 0; i < 12; i++ )
            count(&(struct count_case){
                .world = &worlds[w],
                .side = worlds[w].side,
                .host = i % 2,
                .batch = i / 2 % 2 ? MAX_BATCH : 1,
                .nth = 1 + i / 4,
            });
        print_memory_map(worlds[w].side);
    }
    return 0;
}
