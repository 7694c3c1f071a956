/*
 * One hypervisor as a single translation unit, which exports only the constant at its end.  xen/ in
 * the include path holds Xen's files with their #include lines removed (userspace.prepare()).
 */
#include "xen.h"

/* Forward declarations of functions defined below and in Xen's files. */
static void last_reference_dropped(struct page_info *page);
static void grant_table_destroy(struct domain *d);
static int gnttab_release_mappings(struct domain *d);
static int grant_table_init(struct domain *d, int max_grant_frames, int max_maptrack_frames,
                            unsigned int options);
static void grant_table_init_vcpu(struct vcpu *v);
static void create_bus(struct domain *d, bool supported);
static void assert_bus_empty(const struct domain *d);
static void destroy_bus(struct domain *d);
static void set_bus_region(bool enabled);
static inline unsigned int reached_by_bus(unsigned int frame);
static inline unsigned int written_by_bus(unsigned int frame);
static __thread unsigned long flushes;
static inline void check_still_referenced(const struct page_info *page, unsigned long references,
                                          unsigned long types);
static void forget_mappings(struct grant_table *gt);

#include "memory.c"
#include "tlb.c"
#include "page_tables.c"
#include "domains.c"

/* Warnings that Xen's own build does not enable. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "xen/radix-tree.h"
#include "xen/radix-tree.c"
#include "xen/asm-hvm-grant_table.h"
#include "xen/asm-pv-grant_table.h"
#include "xen/asm-grant_table.h"
#include "xen/grant_table.c"
#ifndef HANDLE_fast
/* Stock asserts that the guest's address is aligned; patch 2 removes the assertions. */
#undef ASSERT_UNREACHABLE
#define ASSERT_UNREACHABLE() \
    do \
    { \
    } while ( 0 )
#endif
#include "xen/pv-grant_table.c"
#include "xen/hvm-grant_table.c"
#pragma GCC diagnostic pop

/* Only for the compiler's warnings about Xen's files: the rest needs the whole series or stock. */
#ifndef XEN_FILES_ONLY
#include "iommu.c"
#include "guest.c"
#include "inspect.c"
#include "lock_counts.c"
#include "memory_owners.c"

const struct hypervisor HYPERVISOR = {
    .name = NAME,
    .active_entry_size = sizeof(struct active_grant_entry),
    .reset = reset,
    .fast_maptrack = fast_maptrack,
    .bus_region = set_bus_region,
    .batch_flush = batch_flush,
    .skip_flush = skip_flush,
    .fail_allocations = fail_allocations,
    .preempt_every = set_preempt_every,
    .create = create_domain,
    .destroy_step = destroy_step,
    .enter = enter,
    .operate = operate,
    .leave = leave,
    .gfn = gfn_of,
    .pte_address = pte_address,
    .access = access_page,
    .page = page_of,
    .grant = grant,
    .revoke = revoke,
    .hold_frame = hold_frame,
    .drop_frame = drop_frame,
#ifdef EVENTS
    .set_event_handler = set_event_handler,
#endif
    .read_entry = read_entry,
    .read_page = read_page,
    .read_domain = read_domain,
    .read_machine = read_machine,
    .read_host_entry = read_host_entry,
    .read_iommu = read_iommu,
    .take_lock_counts = take_lock_counts,
    .list_memory = list_memory,
    .is_consistent = is_consistent,
};
#endif
