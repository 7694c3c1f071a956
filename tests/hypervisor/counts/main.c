/*
 * Maps and unmaps in each case that is counted, between two functions that are there to be found in
 * a trace.  On stdout, of each case: its name, how it was recorded, and the locks it took if built
 * with COUNT; after the cases of a world, what is at which address there.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define __XEN_TOOLS__ 1
#include <public/xen.h>
#include <public/grant_table.h>

#include "../differ/sides.h"
#include "counts.h"

/*
 * The first reference begins a line in each table.  The pages' frame numbers, and that of the one
 * that stays mapped, are in one node of the IOMMU's radix tree, so that no pair makes or frees one.
 */
enum { MAPPER = 0, GRANTER = 1, MOST = 32, FIRST_REF = 64, KEPT_PAGE = 40 };

struct world {
    const char *name;
    const struct hypervisor *side;
    bool fast, iommu;
};

struct count_case {
    const struct world *world;
    const struct hypervisor *side;
    bool host;
    unsigned int batch, nth; /* mapping of each reference that is counted */
};

static _Alignas(LINE) struct gnttab_map_grant_ref maps[MOST];
static _Alignas(LINE) struct gnttab_unmap_grant_ref unmaps[MOST];
static struct gnttab_unmap_grant_ref held[3][MOST];

/* What is executed between them, in the hypervisor, is what is counted. */
__attribute__((noinline)) void case_begin(void)
{
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void case_end(void)
{
    __asm__ volatile("" ::: "memory");
}

static __attribute__((noreturn)) void failed(const char *what, int status)
{
    fprintf(stderr, "%s: %d\n", what, status);
    exit(1);
}

static void ask_to_map(const struct count_case *c, unsigned int nth)
{
    for ( unsigned int i = 0; i < c->batch; i++ )
        maps[i] = (struct gnttab_map_grant_ref){
            .flags = c->host ? GNTMAP_host_map : GNTMAP_device_map,
            .ref = FIRST_REF + i,
            .dom = GRANTER,
            .host_addr = c->host ? LINEAR_BASE + ((uint64_t)(nth * MOST + i) << 12) : 0,
        };
}

/* Unmap what was mapped last. */
static void ask_to_unmap(const struct count_case *c)
{
    for ( unsigned int i = 0; i < c->batch; i++ )
    {
        if ( maps[i].status )
            failed("mapping", maps[i].status);
        unmaps[i] = (struct gnttab_unmap_grant_ref){
            .host_addr = maps[i].host_addr,
            .dev_bus_addr = c->host ? 0 : maps[i].dev_bus_addr,
            .handle = maps[i].handle,
        };
    }
}

static void map(const struct count_case *c, unsigned int nth)
{
    ask_to_map(c, nth);
    c->side->operate(GNTTABOP_map_grant_ref, maps, c->batch);
    ask_to_unmap(c);
}

static void unmap(const struct count_case *c)
{
    c->side->operate(GNTTABOP_unmap_grant_ref, unmaps, c->batch);
    for ( unsigned int i = 0; i < c->batch; i++ )
        if ( unmaps[i].status )
            failed("unmapping", unmaps[i].status);
}

/* Map each reference so many times, and unmap that. */
static void hold(const struct count_case *c, unsigned int times)
{
    for ( unsigned int nth = 1; nth <= times; nth++ )
    {
        map(c, nth);
        memcpy(held[nth - 1], unmaps, sizeof(unmaps));
    }
}

static void let_go(const struct count_case *c, unsigned int times)
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
    struct gnttab_map_grant_ref kept = { .flags = GNTMAP_device_map,
                                         .ref = FIRST_REF + KEPT_PAGE,
                                         .dom = GRANTER };
    const struct count_case once = { .side = side, .batch = 1 };

    side->reset();
    side->fast_maptrack(world->fast);
    side->create(MAPPER, &config);
    config.iommu = false;
    side->create(GRANTER, &config);
    for ( unsigned int i = 0; i <= KEPT_PAGE; i++ )
        side->grant(GRANTER, FIRST_REF + i, GTF_permit_access, MAPPER, side->gfn(GRANTER, i));
    side->enter(MAPPER, 0, 0);
    side->operate(GNTTABOP_map_grant_ref, &kept, 1);
    if ( kept.status )
        failed("the mapping that stays", kept.status);
    /* What a first mapping ever needs besides, is there then. */
    hold(&once, 3);
    let_go(&once, 3);
}

static void count(const struct count_case *c)
{
    unsigned long taken[NR_LOCK_KINDS];

    hold(c, c->nth - 1);
    c->side->see_locks(taken);
    case_begin();
    map(c, c->nth);
    unmap(c);
    case_end();

    printf("case %s, batch %u, mapping %u, %s, IOMMU %s\n", c->world->name, c->batch, c->nth,
           c->host ? "host" : "device", c->world->iommu ? "strict" : "off");
    printf("recorded %s\n", maps[0].handle >> 31 ? "active entry" : "maptrack");
    if ( c->side->see_locks(taken) )
        for ( unsigned int kind = 0; kind < NR_LOCK_KINDS; kind++ )
            printf("lock %lu\n", taken[kind]);
    let_go(c, c->nth - 1);
}

static void tell_place(const char *what, int domid, const void *from, unsigned long size)
{
    const char *whose = domid < 0 ? "" : domid == MAPPER ? "mapper's " : "granter's ";

    printf("place %p %#lx %s%s\n", from, size, whose, what);
}

/* In this order: what is left over of the heap is nodes of the tree, and of the program, constants. */
static void tell_places(const struct hypervisor *side)
{
    extern const char __executable_start, _end;
    const char *here = __builtin_frame_address(0);

    side->see_places(tell_place);
    tell_place("radix tree", -1, heap, sizeof(heap));
    tell_place("requests", -1, maps, sizeof(maps));
    tell_place("requests", -1, unmaps, sizeof(unmaps));
    tell_place("program", -1, &__executable_start, &_end - &__executable_start);
    tell_place("variables of the CPU", -1, (char *)__builtin_thread_pointer() - 4096, 2 * 4096);
    tell_place("stack", -1, here - (64 << 10), 80 << 10);
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
                .batch = i / 2 % 2 ? MOST : 1,
                .nth = 1 + i / 4,
            });
        tell_places(worlds[w].side);
    }
    return 0;
}
