/* Domains without a guest OS whose pages are granted, and whose grant tables are seen, from here. */
#ifndef SEMANTICS_GRANTER_H
#define SEMANTICS_GRANTER_H

#include <stdbool.h>

#include "xen.h"

#define NAME_SIZE 16
#define GRANTERS 80

struct granter {
    char name[NAME_SIZE];
    uint32_t domid;
    unsigned int frames, pages;
    grant_entry_v1_t *table;
    xenforeignmemory_resource_handle *resource;
    xen_pfn_t *mfns;
    bool made, destroyed;
};

/* A domain of `frames` grant frames and `pages` pages; each page says its granter and number. */
struct granter *granter_make(const char *name, unsigned int frames, unsigned int pages);

/* The one of this name, or the program ends. */
struct granter *granter_named(const char *name);

/* All that were made, in the order they were; NULL after the last. */
struct granter *granter_at(unsigned int index);

void granter_permit(struct granter *granter, uint32_t gref, unsigned int page, bool readonly,
                    domid_t mapper);

/* The flags of an entry, 0 when the entry is not there. */
unsigned int granter_flags(const struct granter *granter, uint32_t gref);

void granter_destroy(struct granter *granter);

/* Waits until the domain is gone from Xen, at most `seconds`: "gone", or what it still is. */
const char *granter_state(const struct granter *granter, double seconds);

/* What page `page` of a granter begins with. */
uint64_t granter_stamp(const struct granter *granter, unsigned int page);

/* Whose page begins with this, as "NAME.PAGE", or "?": in a buffer of the function's own. */
const char *granter_of_stamp(uint64_t stamp);

#endif
