/* Mappings by name, and the grant operations that make, change and end them. */
#ifndef SEMANTICS_MAPPINGS_H
#define SEMANTICS_MAPPINGS_H

#include <stdbool.h>

#include "granter.h"

#define NO_SLOT (-1)

struct mapping {
    char name[NAME_SIZE];
    struct granter *granter;
    uint32_t gref, handle, flags; /* flags: GNTMAP_*, of what is still mapped */
    int slot;
    uint64_t bus_addr;
};

/* What an unmap is told. */
struct unmapping {
    struct mapping *mapping; /* NULL: a handle that was given as a number */
    uint32_t handle;
    uint64_t host_addr, dev_bus_addr;
};

/* The newest of this name; it is remembered after its end, for its handle to be used again. */
struct mapping *mapping_named(const char *name);

/* Maps; the status, and the mapping if there is one. */
int mapping_make(const char *name, struct granter *granter, uint32_t gref, uint32_t flags, int slot,
                 struct mapping **made);

/* One hypercall for all of them; the statuses. */
void mappings_end(const struct unmapping *what, unsigned int count, int *statuses);

/* GNTTABOP_unmap_and_replace: what was mapped at `from` comes to the mapping's own slot. */
int mapping_replace(struct mapping *mapping, unsigned int from);

/* Unmaps all that are live and have this name, NULL for any; how often that was refused. */
unsigned int mappings_end_all(const char *name);

#endif
