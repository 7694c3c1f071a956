/*
 * Where the patched hypervisor is meant to answer otherwise than stock, all of it.
 *
 * 1. Both mappings of a reference that are recorded in its active entry have one handle.  An unmap
 *    request is about the one at its address; if both are the same but for the address, about either;
 *    and refused, with nothing done, if it can be about neither.  To stock, the handle that is given
 *    here is that of the mapping which the patched one is expected to take.
 * 2. A translated mapper's p2m entry is removed only if it permits what the mapping did: stock also
 *    removes a writable one for a read-only mapping, and the reverse.
 *
 * 3. A fast handle whose granter is gone is a bad handle; stock crashes the caller.
 *
 * 4. Where mappings have bus addresses of their own, one in a request has to be right, whether it is a
 *    device mapping's or not, and says which mapping is meant: stock, which has it compared for device
 *    mappings only, is given the machine address instead.  A page has a reference for it.
 *
 * The limit of maptrack frames, which does not hold for fast mappings, is not reached here.
 */
#ifndef MEANT_H
#define MEANT_H

#include <stdbool.h>
#include <stdint.h>

enum { MAX_MAPPINGS = 512 };

/* One that was made, and what is left of it. */
struct mapping {
    bool live;
    unsigned int mapper, granter;
    uint32_t ref, flags;
    uint64_t host_addr, frame;
    uint64_t bus_addr[2]; /* on stock, and patched: it may have one of its own there */
    bool own_bus;         /* it has, and */
    bool exact;           /* so have those that its mapper makes of others' references */
    bool tagged;          /* it had a host mapping, so that its address is known */
    uint32_t handle[2];   /* on stock, and patched */
    unsigned int slot;    /* if fast: in which order it is looked at */
};

struct meant {
    struct mapping *mapping; /* which is taken; NULL: none */
    bool patched_only;       /* stock must not see this request */
    int status;              /* then, what the patched one answers */
};

/*
 * Whether the patched hypervisor records a mapping that is being made in the granter's active entry,
 * rather than in the maptrack table: if it can with two slots, and if each request to unmap, whatever
 * it says, is then about one mapping alone or about either of two that are the same.
 */
bool is_fast(const struct mapping *mappings, unsigned int nr, const struct mapping *making);
/* Its handle then. */
uint32_t fast_handle(unsigned int domid, uint32_t ref);
/* The slot that a mapping just made has been given. */
unsigned int slot_of(const struct mapping *mappings, unsigned int nr, const struct mapping *made);
/*
 * What a request is about.  Of unmap_and_replace, @bus_addr is 0.
 *
 * @host is what is at its address: 0, or a p2m entry of a translated mapper's; @gone[d] is
 * whether nothing is left of domain d.
 */
struct meant meant(struct mapping *mappings, unsigned int nr, unsigned int mapper, uint32_t handle,
                   uint64_t host_addr, uint64_t bus_addr, bool translated, uint64_t host,
                   const bool *gone);

#endif
