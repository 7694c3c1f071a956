/*
 * The same hypercalls as xengt's hypercall engine in a minimal loop, as a reference
 * for the cost of xengt's own loop.
 *
 * usage: bare_loop DOMID BATCH ROUNDS HANDLE GREF...; HANDLE is one that Xen refuses to unmap
 * prints the medians in ns per operation: refused map, refused unmap, map, unmap
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <xencall.h>
#include <xen/xen.h>
#include <xen/grant_table.h>

#include "bare.h"

int main(int argc, char **argv)
{
    xencall_handle *call = xencall_open(NULL, 0);
    gnttab_map_grant_ref_t *map;
    gnttab_unmap_grant_ref_t *unmap;
    uint64_t *ns[2];
    unsigned domid, batch, rounds, grefs, next;
    grant_handle_t refused_handle;

    if (argc < 6 || !call)
        errx(2, "usage: bare_loop DOMID BATCH ROUNDS HANDLE GREF..., in dom0");
    domid = (unsigned)atoi(argv[1]);
    batch = (unsigned)atoi(argv[2]);
    rounds = (unsigned)atoi(argv[3]);
    refused_handle = (uint32_t)strtoul(argv[4], NULL, 0);
    grefs = (unsigned)argc - 5;
    map = xencall_alloc_buffer_pages(call, 4);
    unmap = xencall_alloc_buffer_pages(call, 4);
    ns[0] = calloc(rounds, sizeof(uint64_t));
    ns[1] = calloc(rounds, sizeof(uint64_t));
    if (!map || !unmap || !ns[0] || !ns[1] || batch > 4 * PAGE / sizeof(*map) || batch > grefs)
        errx(2, "cannot allocate buffers, or the batch is too large");

    for (int refused = 1; refused >= 0; refused--) {
        next = 0;
        for (unsigned round = 0; round < rounds; round++) {
            uint64_t start, end;

            if (next + batch > grefs)
                next = 0;
            for (unsigned i = 0; i < batch; i++)
                map[i] = (gnttab_map_grant_ref_t){
                    .dom = (domid_t)domid,
                    .ref = (grant_ref_t)atoi(argv[5 + next + i]),
                    .flags = refused ? 0 : GNTMAP_device_map,
                };
            next += batch;
            start = now();
            if (xencall3(call, __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, (uintptr_t)map,
                         batch))
                err(3, "map");
            end = now();
            ns[0][round] = end - start;
            for (unsigned i = 0; i < batch; i++) {
                if ((map[i].status == GNTST_okay) == refused)
                    errx(3, "map: status %d", map[i].status);
                unmap[i] = (gnttab_unmap_grant_ref_t){
                    .handle = refused ? refused_handle : map[i].handle,
                    .dev_bus_addr = refused ? 0 : map[i].dev_bus_addr,
                };
            }
            start = now();
            if (xencall3(call, __HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref,
                         (uintptr_t)unmap, batch))
                err(3, "unmap");
            end = now();
            ns[1][round] = end - start;
            for (unsigned i = 0; i < batch; i++)
                if ((unmap[i].status == GNTST_okay) == refused)
                    errx(3, "unmap: status %d", unmap[i].status);
        }
        printf("%.3f %.3f ", median(ns[0], rounds, batch), median(ns[1], rounds, batch));
    }
    printf("\n");
    return 0;
}
