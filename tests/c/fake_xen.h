/*
 * A fake of libxencall, libxengnttab and libxenforeignmemory, on a grant table in this process that records every
 * mapping. The tests in C link it; the tests in Python preload it with LD_PRELOAD.
 *
 * It follows the rules of Xen's common/grant_table.c: a batch continues after a rejected operation,
 * a device map is identified by its handle and its bus address, and an unmap without a host address
 * removes no host map.
 */
#ifndef TESTS_FAKE_XEN_H
#define TESTS_FAKE_XEN_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_NEVER (-1)
#define FAKE_MAPTRACK 4096

struct fake_mapping {
    bool device; /* device map; else the host map of another driver */
    bool live;
    bool readonly;
    bool fast; /* its handle has bit 31 */
    uint32_t domid;
    uint32_t gref;
};

struct fake_xen {
    /* Injected errors; fake_xen_reset() clears them. */
    bool no_device;       /* opening a handle fails with ENOENT */
    bool no_buffer;       /* allocating a buffer fails with ENOMEM */
    int64_t refused_gref; /* FAKE_NEVER, or a reference whose map fails with refused_status */
    int refused_status;
    int64_t changed_gref; /* FAKE_NEVER, or a reference whose page has the wrong pattern */
    int64_t map_breaks;   /* FAKE_NEVER, or the number of operations after which a map fails */
    int64_t unmap_breaks; /* the same for an unmap */
    bool unmap_refused;   /* each unmap fails; the mapping remains */
    bool gntdev_stuck;    /* xengnttab_unmap() fails; the mapping remains */
    bool maps_anything;   /* maps without GNTMAP_* flags succeed */
    bool copies_anything; /* copies between frames succeed */
    int64_t copy_breaks;  /* FAKE_NEVER, or the number of operations after which a copy fails */
    int64_t lost_copy;    /* FAKE_NEVER, or a reference whose copies have no effect */
    bool lost_writes;     /* copies to granted pages have no effect */
    bool fast;            /* the first two mappings of a reference get fast handles */
    bool tables;          /* libxenforeignmemory maps grant tables; else it cannot be opened */
    bool version2;        /* the grant tables have version 2: marks are in the status frames */

    /* Counters; fake_xen_reset() sets them to 0. */
    int64_t open, buffers; /* currently open handles and allocated buffers */
    int64_t calls;         /* hypercalls and gntdev maps */
    int64_t largest;       /* maximum number of operations in one call */
    int64_t live;          /* existing mappings */
    int64_t copied;        /* bytes copied from and to granted pages */
    int64_t mapped;        /* mappings ever made */
    int64_t stale;         /* unmaps of handles without a mapping */
    int64_t offered;       /* all unmap operations */
    uint32_t handles;      /* used entries of maptrack */
    struct fake_mapping maptrack[FAKE_MAPTRACK];
};

extern struct fake_xen fake_xen;

/* Removes all mappings, injected errors and counts. */
void fake_xen_reset(void);
/* Adds a mapping that the program under test did not make; returns its index in maptrack, which is
 * its handle unless it is fast. */
uint32_t fake_xen_map(bool device, uint32_t domid, uint32_t gref);
/* The frame of an address, as the fake's GNTTABOP_copy takes it. */
uint64_t fake_xen_frame(const void *address);
/* The word that a page begins and ends with, and its bus address. */
uint64_t fake_xen_pattern(uint32_t domid, uint32_t gref);
uint64_t fake_xen_bus_addr(uint32_t domid, uint32_t gref);

#endif
