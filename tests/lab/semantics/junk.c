/*
 * Unmaps COUNT handles of no mapping of this program, and counts the statuses that Xen returns.
 *
 * usage: junk KIND COUNT SEED ADDRESS DOMID...
 * KIND: random   32 random bits
 *       foreign  the fast handle of a reference of one of the DOMIDs
 *       near     as foreign, with one bit inverted
 * ADDRESS: the value of dev_bus_addr: random, or own, the address of a page of which this program
 * has two device mappings. These mappings must remain.
 * prints: a line for each status that occurred: the status, and its count
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "granter.h"

#define BATCH 128
#define FAST (1u << 31)
#define GREF 8

static uint64_t state;

static uint64_t next(void) /* xorshift64* */
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull;
}

static uint32_t random_handle(const char *kind, char **domids, unsigned int count)
{
    uint64_t chance = next();
    uint32_t domid, gref, handle;

    if (!strcmp(kind, "random"))
        return (uint32_t)(chance >> 16);
    domid = (uint32_t)atoi(domids[chance % count]);
    /* Mostly low references, because those are in use. */
    gref = chance >> 60 ? (uint32_t)(chance >> 20) & 0x7ff : (uint32_t)(chance >> 20) & 0xffff;
    handle = FAST | domid << 16 | gref;
    return strcmp(kind, "near") ? handle : handle ^ 1u << (chance >> 36) % 32;
}

int main(int argc, char **argv)
{
    static unsigned int counts[512];
    gnttab_unmap_grant_ref_t ops[BATCH];
    gnttab_map_grant_ref_t own[2];
    struct granter *granter;
    unsigned int flags;

    if (argc < 6)
        errx(2, "usage: junk random|foreign|near COUNT SEED random|own DOMID...");
    open_libraries();
    state = strtoull(argv[3], NULL, 0) * 2 + 1;
    granter = granter_make("own", 1, 1);
    granter_permit(granter, GREF, 0, false, 0);
    for (int i = 0; i < 2; i++)
        own[i] = (gnttab_map_grant_ref_t){ .flags = GNTMAP_device_map,
                                           .ref = GREF,
                                           .dom = (domid_t)granter->domid };
    if (grant_op(GNTTABOP_map_grant_ref, own, sizeof(own[0]), 2) || own[0].status || own[1].status)
        errx(3, "cannot map this program's own page");
    flags = granter_flags(granter, GREF);

    for (unsigned int done = 0, count = (unsigned int)atoi(argv[2]); done < count; done += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            do
                ops[i].handle = random_handle(argv[1], argv + 5, (unsigned int)argc - 5);
            while (ops[i].handle == own[0].handle || ops[i].handle == own[1].handle);
            ops[i].host_addr = 0;
            ops[i].dev_bus_addr = strcmp(argv[4], "own") ? next() >> 12 & ~0xfffull
                                                         : own[0].dev_bus_addr;
            ops[i].status = 1;
        }
        if (grant_op(GNTTABOP_unmap_grant_ref, ops, sizeof(ops[0]), BATCH))
            err(3, "GNTTABOP_unmap_grant_ref");
        for (int i = 0; i < BATCH; i++)
            counts[256 + ops[i].status]++;
    }
    if (granter_flags(granter, GREF) != flags)
        errx(3, "the marks of this program's own mappings have changed");
    for (int i = 0; i < 2; i++)
        ops[i] = (gnttab_unmap_grant_ref_t){ .handle = own[i].handle,
                                             .dev_bus_addr = own[i].dev_bus_addr };
    if (grant_op(GNTTABOP_unmap_grant_ref, ops, sizeof(ops[0]), 2) || ops[0].status ||
        ops[1].status)
        errx(3, "cannot unmap this program's own mappings");
    granter_destroy(granter);
    if (strcmp(granter_state(granter, 5), "gone"))
        errx(3, "this program's own domain still exists");
    for (int i = 0; i < 512; i++)
        if (counts[i])
            printf("%d %u\n", i - 256, counts[i]);
    return 0;
}
