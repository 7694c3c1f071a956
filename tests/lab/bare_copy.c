/*
 * The same hypercalls as xengt's engine `copy` in a minimal loop, as a reference for the cost of
 * xengt's own loop.
 *
 * usage: bare_copy DOMID BYTES BATCH ROUNDS GREF...
 * prints the medians in ns per operation: refused copy from the granter, refused copy to the
 * granter, copy from the granter, copy to the granter
 */
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <xencall.h>
#include <xengnttab.h>
#include <xen/xen.h>
#include <xen/grant_table.h>

#include "bare.h"

#define MAX_BATCH 64

static void grant_op(xencall_handle *call, unsigned command, void *ops, unsigned count)
{
    if (xencall3(call, __HYPERVISOR_grant_table_op, command, (uintptr_t)ops, count))
        err(3, "grant_table_op %u", command);
}

/* The mfns of pages of this PV domain, which Xen reports when the domain maps them for a device. */
static void find_frames(xencall_handle *call, const uint32_t *grefs, unsigned count, uint64_t *mfns)
{
    void *buffer = xencall_alloc_buffer_pages(call, 1);
    gnttab_unmap_grant_ref_t *unmap = buffer;
    gnttab_map_grant_ref_t *map = buffer;

    for (unsigned i = 0; i < count; i++) {
        *map = (gnttab_map_grant_ref_t){ .dom = 0, .ref = grefs[i], .flags = GNTMAP_device_map };
        grant_op(call, GNTTABOP_map_grant_ref, map, 1);
        if (map->status)
            errx(3, "own page: status %d", map->status);
        mfns[i] = map->dev_bus_addr / PAGE;
        *unmap = (gnttab_unmap_grant_ref_t){
            .handle = map->handle,
            .dev_bus_addr = map->dev_bus_addr,
        };
        grant_op(call, GNTTABOP_unmap_grant_ref, unmap, 1);
    }
    xencall_free_buffer_pages(call, buffer, 1);
}

int main(int argc, char **argv)
{
    xencall_handle *call = xencall_open(NULL, 0);
    xengntshr_handle *share = xengntshr_open(NULL, 0);
    uint32_t own_grefs[MAX_BATCH];
    uint64_t mfns[MAX_BATCH];
    gnttab_copy_t *ops;
    uint64_t *ns[2];
    unsigned domid, bytes, batch, rounds, grefs, next;

    if (argc < 6 || !call || !share)
        errx(2, "usage: bare_copy DOMID BYTES BATCH ROUNDS GREF..., in dom0");
    domid = (unsigned)atoi(argv[1]);
    bytes = (unsigned)atoi(argv[2]);
    batch = (unsigned)atoi(argv[3]);
    rounds = (unsigned)atoi(argv[4]);
    grefs = (unsigned)argc - 5;
    if (!batch || batch > MAX_BATCH || batch > grefs || bytes > PAGE)
        errx(2, "the batch or the number of bytes is too large");
    if (!xengntshr_share_pages(share, 0, (int)batch, own_grefs, true))
        err(3, "xengntshr_share_pages");
    find_frames(call, own_grefs, batch, mfns);
    ops = xencall_alloc_buffer_pages(call, 1 + MAX_BATCH * sizeof(*ops) / PAGE);
    ns[0] = calloc(rounds, sizeof(uint64_t));
    ns[1] = calloc(rounds, sizeof(uint64_t));
    if (!ops || !ns[0] || !ns[1])
        errx(2, "cannot allocate buffers");

    for (int refused = 1; refused >= 0; refused--) {
        next = 0;
        for (unsigned round = 0; round < rounds; round++) {
            if (next + batch > grefs)
                next = 0;
            for (int to = 0; to <= 1; to++) {
                uint16_t flags = to ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
                uint64_t start;

                for (unsigned i = 0; i < batch; i++) {
                    struct gnttab_copy_ptr own = { .u.gmfn = mfns[i], .domid = DOMID_SELF };
                    struct gnttab_copy_ptr granted = {
                        .u.ref = (grant_ref_t)atoi(argv[5 + next + i]),
                        .domid = (domid_t)domid,
                    };

                    ops[i] = (gnttab_copy_t){
                        .source = to ? own : granted,
                        .dest = to ? granted : own,
                        .len = (uint16_t)bytes,
                        .flags = refused ? 0 : flags,
                    };
                }
                start = now();
                grant_op(call, GNTTABOP_copy, ops, batch);
                ns[to][round] = now() - start;
                for (unsigned i = 0; i < batch; i++)
                    if ((ops[i].status == GNTST_okay) == refused)
                        errx(3, "copy: status %d", ops[i].status);
            }
            next += batch;
        }
        printf("%.3f %.3f ", median(ns[0], rounds, batch), median(ns[1], rounds, batch));
    }
    printf("\n");
    return 0;
}
