/* Granters: domains without a guest OS whose pages and grant tables this program maps. */
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

/* Creates a granter with `frames` grant frames and `pages` pages, each page with its stamp. */
struct granter *granter_make(const char *name, unsigned int frames, unsigned int pages);

/* Returns the newest granter of this name; exits if there is none. */
struct granter *granter_named(const char *name);

/* Returns the granters in the order of their creation; NULL after the last. */
struct granter *granter_at(unsigned int index);

void granter_permit(struct granter *granter, uint32_t gref, unsigned int page, bool readonly,
                    domid_t mapper);

/* Returns the flags of a grant entry; 0 if the table does not contain it. */
unsigned int granter_flags(const struct granter *granter, uint32_t gref);

void granter_destroy(struct granter *granter);

/* Waits up to `seconds` for the end of the domain; returns "gone", "dying" or "alive". */
const char *granter_state(const struct granter *granter, double seconds);

/* Returns the stamp: the first 8 bytes of page `page` of a granter. */
uint64_t granter_stamp(const struct granter *granter, unsigned int page);

/* Returns the page with this stamp as "NAME.PAGE", or "?", in a static buffer. */
const char *granter_of_stamp(uint64_t stamp);

#endif
