/* Named mappings, and the grant operations that create, replace and unmap them. */
#ifndef SEMANTICS_MAPPINGS_H
#define SEMANTICS_MAPPINGS_H

#include <stdbool.h>

#include "granter.h"

#define NO_SLOT (-1)

struct mapping {
    char name[NAME_SIZE];
    struct granter *granter;
    uint32_t gref, handle, flags; /* flags: GNTMAP_* of the parts that are still mapped */
    int slot;
    uint64_t bus_addr;
};

/* The arguments of an unmap. */
struct unmapping {
    struct mapping *mapping; /* NULL if the handle was given as a number */
    uint32_t handle;
    uint64_t host_addr, dev_bus_addr;
};

/* Returns the newest mapping of this name, also after its unmap; exits if there is none. */
struct mapping *mapping_named(const char *name);

/* Maps a reference; returns the status, and sets `made` to the mapping, or to NULL on failure. */
int mapping_make(const char *name, struct granter *granter, uint32_t gref, uint32_t flags, int slot,
                 struct mapping **made);

/* Executes all unmaps in one hypercall and stores their statuses. */
void mappings_end(const struct unmapping *unmaps, unsigned int count, int *statuses);

/* GNTTABOP_unmap_and_replace: moves the page at slot `from` to the slot of the mapping. */
int mapping_replace(struct mapping *mapping, unsigned int from);

/* Unmaps all live mappings of this name (NULL: of any); returns how many unmaps Xen refused. */
unsigned int mappings_end_all(const char *name);

#endif
