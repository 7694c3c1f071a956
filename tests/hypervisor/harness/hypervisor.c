/*
 * One hypervisor, in one piece: nothing of it but the constant at the end is seen from outside.
 * SOURCES, which the build puts in the include path, holds Xen's files without their includes.
 */
#include "xen.h"

/* Used before they are defined, below and in Xen's files. */
static void page_is_free(struct page_info *page);
static void grant_table_destroy(struct domain *d);
static int gnttab_release_mappings(struct domain *d);
static int grant_table_init(struct domain *d, int max_grant_frames, int max_maptrack_frames,
                            unsigned int options);
static void grant_table_init_vcpu(struct vcpu *v);
static void begin_bus(struct domain *d);
static void bus_is_clear(const struct domain *d);
static void end_bus(struct domain *d);
static void set_bus_region(bool enabled);
static inline void still_held(const struct page_info *page, unsigned long references,
                              unsigned long types);
static void forget_mappings(struct grant_table *gt);
static int create_grant_pv_mapping(uint64_t addr, mfn_t frame, unsigned int flags,
                                   unsigned int cache_flags);
static int create_grant_p2m_mapping(uint64_t addr, mfn_t frame, unsigned int flags,
                                    unsigned int cache_flags);
static int replace_grant_pv_mapping(uint64_t addr, mfn_t frame, uint64_t new_addr,
                                    unsigned int flags);
static int replace_grant_p2m_mapping(uint64_t addr, mfn_t frame, uint64_t new_addr,
                                     unsigned int flags);

#include "memory.c"
#include "tables.c"
#include "domains.c"

/* What Xen's own build does not warn of, nor does this one. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "xen/radix-tree.h"
#include "xen/radix-tree.c"
#include "xen/asm-grant_table.h"
#include "xen/grant_table.c"
#ifndef HANDLE_fast
/* Stock asserts that a guest's address is aligned, which it may not be: the first patch's matter. */
#undef ASSERT_UNREACHABLE
#define ASSERT_UNREACHABLE() \
    do \
    { \
    } while ( 0 )
#endif
#include "xen/pv-grant_table.c"
#include "xen/hvm-grant_table.c"
#pragma GCC diagnostic pop

#include "iommu.c"
#include "guest.c"
#include "seen.c"
#include "locks.c"
#include "places.c"

const struct hypervisor HYPERVISOR = {
    .name = NAME,
    .active_entry_size = sizeof(struct active_grant_entry),
    .reset = reset,
    .fast_maptrack = fast_maptrack,
    .bus_region = set_bus_region,
    .fail_allocations = fail_allocations,
    .preempt_every = set_preempt_every,
    .create = create_domain,
    .kill = kill_by_id,
    .enter = enter,
    .operate = operate,
    .leave = leave,
    .gfn = gfn_of,
    .pte_address = pte_address,
    .page = page_of,
    .grant = grant,
    .revoke = revoke,
    .hold_frame = hold_frame,
    .drop_frame = drop_frame,
#ifdef EVENTS
    .watch = watch,
#endif
    .see_entry = see_entry,
    .see_page = see_page,
    .see_domain = see_domain,
    .see_machine = see_machine,
    .see_host = see_host,
    .see_iommu = see_iommu,
    .see_locks = see_locks,
    .see_places = see_places,
    .at_rest = at_rest,
};
