/*
 * libxencall and libxengnttab over a grant table of our own making, which keeps books on every
 * mapping: for the engines in C, and preloaded under the Python that uses those libraries.
 *
 * The rules are common/grant_table.c's: a batch goes on past an operation that is refused, a
 * device map goes by handle and bus address, and without a host address a host map stays.
 */
#ifndef TESTS_FAKE_XEN_H
#define TESTS_FAKE_XEN_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_NEVER (-1)
#define FAKE_MAPTRACK 4096

struct fake_mapping {
    bool device; /* else another driver's host map */
    bool live;
    bool readonly;
    bool fast;
    uint32_t domid;
    uint32_t gref;
};

struct fake_xen {
    /* What goes wrong. */
    bool no_device; /* no handle can be opened */
    bool no_buffer;
    int64_t refused_gref; /* FAKE_NEVER, or one whose map is refused with... */
    int refused_status;
    int64_t changed_gref; /* FAKE_NEVER, or one whose page holds something else */
    int64_t map_breaks;   /* FAKE_NEVER, or the map hypercall fails after so many operations */
    int64_t unmap_breaks;
    bool unmap_refused; /* each unmap is; the mapping stays */
    bool gntdev_stuck;  /* xengnttab_unmap fails; the mapping stays */
    bool maps_anything; /* what should be refused at once, is not */
    bool fast;          /* two mappings of a reference have handles with bit 31 */

    /* The books. */
    int64_t open, buffers; /* now */
    int64_t calls;         /* hypercalls, and gntdev's maps */
    int64_t largest;       /* operations of one of them */
    int64_t live;          /* mappings now */
    int64_t mapped;        /* ever */
    int64_t stale;         /* unmaps of what is not mapped */
    int64_t offered;       /* unmaps, whatever of */
    uint32_t handles;      /* ever given out */
    struct fake_mapping maptrack[FAKE_MAPTRACK];
};

extern struct fake_xen fake_xen;

/* All is well from here on, and the books are empty. */
void fake_xen_reset(void);
/* A mapping beside the program's own; its place in maptrack, which is its handle if slow. */
uint32_t fake_xen_map(bool device, uint32_t domid, uint32_t gref);
/* What a page begins and ends with, and where it is. */
uint64_t fake_xen_pattern(uint32_t domid, uint32_t gref);
uint64_t fake_xen_bus_addr(uint32_t domid, uint32_t gref);

#endif
