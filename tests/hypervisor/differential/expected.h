/*
 * Model of the intended differences between the patched hypervisor and stock:
 *
 * 1. Both mappings of a reference that are recorded in its active entry have the same handle.  An
 *    unmap request applies to the mapping at its address; if the mappings differ only in the
 *    address, to either; otherwise it is refused without effect.  The test gives stock the handle
 *    of the mapping that the patched hypervisor is expected to take.
 * 2. A translated mapper's p2m entry is removed only if its type fits the mapping.  Stock also
 *    removes a writable entry for a read-only mapping and vice versa.
 * 3. A fast handle whose granter no longer exists is a bad handle.  Stock crashes the caller.
 * 4. Where mappings have bus addresses, a bus address in a request must be right, also for a host
 *    mapping, and selects the mapping.  Stock compares bus addresses of device mappings only and is
 *    given the machine address.  A bus address holds a reference to the page.
 *
 * Fast mappings are not subject to max_maptrack_frames; the test does not reach that limit, and
 * advisories/test_limits.py tests it.
 */
#ifndef EXPECTED_H
#define EXPECTED_H

#include <stdbool.h>
#include <stdint.h>

enum { MAX_MAPPINGS = 512 };

/* A mapping that was made, and its remaining state. */
struct mapping {
    bool live;
    unsigned int mapper, granter;
    uint32_t ref, flags;
    uint64_t host_addr, frame;
    uint64_t bus_addr[2]; /* on stock and patched */
    bool own_bus;         /* it has its own bus address on the patched hypervisor */
    bool in_iommu;        /* its frame is in its mapper's IOMMU, at the machine address */
    bool exact;           /* its mapper's mappings of other domains have bus addresses */
    bool tagged;          /* it was a host mapping, so its slot has a tag */
    uint32_t handle[2];   /* on stock and patched */
    unsigned int slot;    /* if fast: which of the two slots */
};

struct expected_unmap {
    struct mapping *mapping; /* the mapping it applies to; NULL: none */
    bool not_on_stock;       /* the request must not be made on stock */
    int status;              /* status on the patched hypervisor, if not_on_stock */
};

/*
 * Whether the patched hypervisor records a new mapping in the granter's active entry rather than in
 * the maptrack table: if its frame is not in the mapper's IOMMU page tables at the machine address,
 * a slot is free and every possible unmap request applies to one mapping only, or to either of two
 * equal ones.
 */
bool expect_fast(const struct mapping *mappings, unsigned int nr, const struct mapping *making);
/* Handle of a fast mapping. */
uint32_t fast_handle(unsigned int domid, uint32_t ref);
/* The slot of a mapping that was just made. */
unsigned int expected_slot(const struct mapping *mappings, unsigned int nr,
                           const struct mapping *made);
/*
 * The mapping that an unmap request applies to.  For unmap_and_replace, @bus_addr is 0.  @host is
 * the p2m entry at the host address for a translated mapper, otherwise 0; @gone[d]: domain d no
 * longer exists.
 */
struct expected_unmap expect_unmap(struct mapping *mappings, unsigned int nr, unsigned int mapper,
                                   uint32_t handle, uint64_t host_addr, uint64_t bus_addr,
                                   bool translated, uint64_t host, const bool *gone);

#endif
