/* GNTTABOP_map_grant_ref, GNTTABOP_unmap_grant_ref and GNTTABOP_copy through libxencall. */
#ifndef XENLIB_GRANT_OPS_H
#define XENLIB_GRANT_OPS_H

#include <stdint.h>

#include <xencall.h>
#include <xen/xen.h>
#include <xen/grant_table.h>

/* Initial status of an operation; no GNTST_* is positive. Xen did not reach an operation that still
 * has it. */
#define STATUS_UNTOUCHED 1

/*
 * Each issues one hypercall for `count` operations, which must be in a hypercall-safe buffer, and
 * return 0, or -1 with errno set. Each operation has a status of its own.
 */
int grant_map(xencall_handle *call, gnttab_map_grant_ref_t *ops, unsigned int count);
int grant_unmap(xencall_handle *call, gnttab_unmap_grant_ref_t *ops, unsigned int count);
int grant_copy(xencall_handle *call, gnttab_copy_t *ops, unsigned int count);

/*
 * Unmaps the device maps of one page whose handles are unknown, by trying every handle of
 * [first, first + handles) with the page's bus address. Xen removes a device map only if the
 * address matches, and removes no host map if no host address is given; therefore the mappings of
 * other pages and the host maps of other drivers are not affected.
 *
 * `ops` is a hypercall-safe buffer of `room` operations. Returns 0, or -1 with errno set.
 */
int grant_sweep(xencall_handle *call, gnttab_unmap_grant_ref_t *ops, unsigned int room,
                uint64_t bus_addr, uint32_t first, uint32_t handles);

#endif
