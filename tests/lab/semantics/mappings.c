#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mappings.h"
#include "slots.h"

#define MAPPINGS 300000
#define BATCH 64

static struct mapping mappings[MAPPINGS];
static unsigned int used;

struct mapping *mapping_named(const char *name)
{
    for (unsigned int i = used; i-- > 0;)
        if (!strcmp(mappings[i].name, name))
            return &mappings[i];
    errx(2, "unknown mapping %s", name);
}

int mapping_make(const char *name, struct granter *granter, uint32_t gref, uint32_t flags, int slot,
                 struct mapping **made)
{
    gnttab_map_grant_ref_t op = {
        .host_addr = slot == NO_SLOT ? 0 : slot_address((unsigned int)slot),
        .flags = flags,
        .ref = gref,
        .dom = (domid_t)granter->domid,
    };
    struct mapping *mapping;

    *made = NULL;
    if (grant_op(GNTTABOP_map_grant_ref, &op, sizeof(op), 1))
        err(3, "GNTTABOP_map_grant_ref");
    if (op.status != GNTST_okay)
        return op.status;
    if (used == MAPPINGS)
        errx(2, "more than %d mappings", MAPPINGS);
    mapping = &mappings[used++];
    snprintf(mapping->name, sizeof(mapping->name), "%s", name);
    mapping->granter = granter;
    mapping->gref = gref;
    mapping->handle = op.handle;
    mapping->flags = flags;
    mapping->slot = slot;
    mapping->bus_addr = op.dev_bus_addr;
    *made = mapping;
    return op.status;
}

void mappings_end(const struct unmapping *unmaps, unsigned int count, int *statuses)
{
    gnttab_unmap_grant_ref_t ops[BATCH];

    if (count > BATCH)
        errx(2, "more than %d operations in a batch", BATCH);
    for (unsigned int i = 0; i < count; i++)
        ops[i] = (gnttab_unmap_grant_ref_t){
            .host_addr = unmaps[i].host_addr,
            .dev_bus_addr = unmaps[i].dev_bus_addr,
            .handle = unmaps[i].handle,
            .status = 1, /* no GNTST_* value: remains if Xen does not reach the operation */
        };
    if (grant_op(GNTTABOP_unmap_grant_ref, ops, sizeof(ops[0]), count))
        err(3, "GNTTABOP_unmap_grant_ref");
    for (unsigned int i = 0; i < count; i++) {
        struct mapping *mapping = unmaps[i].mapping;

        statuses[i] = ops[i].status;
        if (!mapping || ops[i].status != GNTST_okay)
            continue;
        if (unmaps[i].host_addr)
            mapping->flags &= ~(uint32_t)GNTMAP_host_map;
        if (unmaps[i].dev_bus_addr)
            mapping->flags &= ~(uint32_t)GNTMAP_device_map;
        if (!(mapping->flags & (GNTMAP_host_map | GNTMAP_device_map)))
            mapping->flags = 0;
    }
}

int mapping_replace(struct mapping *mapping, unsigned int from)
{
    gnttab_unmap_and_replace_t op = {
        .host_addr = mapping->slot == NO_SLOT ? 0 : slot_address((unsigned int)mapping->slot),
        .new_addr = slot_address(from),
        .handle = mapping->handle,
    };

    if (grant_op(GNTTABOP_unmap_and_replace, &op, sizeof(op), 1))
        err(3, "GNTTABOP_unmap_and_replace");
    if (op.status == GNTST_okay) {
        mapping->flags &= ~(uint32_t)GNTMAP_host_map;
        if (!(mapping->flags & GNTMAP_device_map))
            mapping->flags = 0;
    }
    return op.status;
}

static struct unmapping whole(struct mapping *mapping)
{
    return (struct unmapping){
        .mapping = mapping,
        .handle = mapping->handle,
        .host_addr = mapping->flags & GNTMAP_host_map ? slot_address((unsigned int)mapping->slot)
                                                      : 0,
        .dev_bus_addr = mapping->flags & GNTMAP_device_map ? mapping->bus_addr : 0,
    };
}

unsigned int mappings_end_all(const char *name)
{
    struct unmapping unmaps[BATCH];
    int statuses[BATCH];
    unsigned int queued = 0, refused = 0;

    for (unsigned int i = 0; i < used; i++) {
        if (mappings[i].flags && (!name || !strcmp(mappings[i].name, name)))
            unmaps[queued++] = whole(&mappings[i]);
        if (queued == BATCH || (queued && i + 1 == used)) {
            mappings_end(unmaps, queued, statuses);
            while (queued)
                refused += statuses[--queued] != GNTST_okay;
        }
    }
    return refused;
}
