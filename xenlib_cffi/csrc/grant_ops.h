/* GNTTABOP_map_grant_ref and unmap_grant_ref through libxencall, and the sweep. */
#ifndef XENLIB_GRANT_OPS_H
#define XENLIB_GRANT_OPS_H

#include <stdint.h>

#include <xencall.h>
#include <xen/xen.h>
#include <xen/grant_table.h>

/* No GNTST_* is positive: an operation that still says this was never reached. */
#define STATUS_UNTOUCHED 1

/* One hypercall for `count` operations in a hypercall-safe buffer; 0 or -1 with errno. */
int grant_map(xencall_handle *call, gnttab_map_grant_ref_t *ops, unsigned int count);
int grant_unmap(xencall_handle *call, gnttab_unmap_grant_ref_t *ops, unsigned int count);

/*
 * Offers the handles [first, first + handles) for unmapping, as device maps of
 * the page at `bus_addr` and nothing else. Xen takes back a device map only if
 * its page is at that address, and without a host address leaves host maps
 * alone: handles of other pages, and other drivers' mappings, stay as they are.
 * `ops` holds `room` operations. 0 or -1 with errno.
 */
int grant_sweep(xencall_handle *call, gnttab_unmap_grant_ref_t *ops, unsigned int room,
                uint64_t bus_addr, uint32_t first, uint32_t handles);

#endif
