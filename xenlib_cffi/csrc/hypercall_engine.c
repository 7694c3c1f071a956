/*
 * The engine that issues GNTTABOP_map_grant_ref and GNTTABOP_unmap_grant_ref itself.
 *
 * It makes device maps only. Xen writes no page-table entry for them: Linux need not know of them,
 * and the recorded time is that of the grant table code.
 */
#include <errno.h>
#include <stdlib.h>

#include "call_arrays.h"
#include "loop.h"

/* A handle that Xen never returns. */
#define INVALID_HANDLE 0xffffffffu

struct hypercall_state {
    struct call_arrays arrays;
    gnttab_map_grant_ref_t *map;
    gnttab_unmap_grant_ref_t *unmap;
    unsigned int mapped; /* number of operations in `unmap` */
    const struct target *batch;
};

static bool open_call(struct worker *w)
{
    struct hypercall_state *s = calloc(1, sizeof(*s));

    w->state = s;
    if (!s)
        return worker_fail(w, LOOP_ERRNO, "calloc", ENOMEM, w->targets);
    if (!call_arrays_open(w, &s->arrays, sizeof(*s->map), sizeof(*s->unmap)))
        return false;
    s->map = s->arrays.first;
    s->unmap = s->arrays.second;
    return true;
}

static void close_call(struct worker *w)
{
    struct hypercall_state *s = w->state;

    if (!s)
        return;
    call_arrays_close(&s->arrays);
    free(s);
    w->state = NULL;
}

static void prepare(struct worker *w, const struct target *batch)
{
    struct hypercall_state *s = w->state;
    uint32_t flags = GNTMAP_device_map | (w->loop->readonly ? GNTMAP_readonly : 0);

    s->batch = batch;
    for (size_t i = 0; i < w->loop->batch; i++)
        s->map[i] = (gnttab_map_grant_ref_t){
            .flags = flags,
            .ref = batch[i].gref,
            .dom = (domid_t)batch[i].domid,
            .status = STATUS_UNTOUCHED,
        };
}

static bool map(struct worker *w)
{
    struct hypercall_state *s = w->state;

    if (!grant_map(s->arrays.call, s->map, (unsigned int)w->loop->batch))
        return true;
    return worker_fail(w, LOOP_ERRNO, "GNTTABOP_map_grant_ref", errno, s->batch);
}

/* Prepares to unmap each mapping that was made, also if other operations of the batch failed. */
static bool check_mapped(struct worker *w)
{
    struct hypercall_state *s = w->state;
    bool ok = true;

    s->mapped = 0;
    for (size_t i = 0; i < w->loop->batch; i++) {
        const gnttab_map_grant_ref_t *op = &s->map[i];

        if (op->status == GNTST_okay)
            s->unmap[s->mapped++] = (gnttab_unmap_grant_ref_t){
                .dev_bus_addr = op->dev_bus_addr,
                .handle = op->handle,
                .status = STATUS_UNTOUCHED,
            };
        else
            ok = worker_fail(w, LOOP_STATUS, "GNTTABOP_map_grant_ref", op->status, &s->batch[i]);
    }
    return ok;
}

static bool unmap(struct worker *w)
{
    struct hypercall_state *s = w->state;

    if (!s->mapped || !grant_unmap(s->arrays.call, s->unmap, s->mapped))
        return true;
    return worker_fail(w, LOOP_ERRNO, "GNTTABOP_unmap_grant_ref", errno, s->batch);
}

static bool check_unmapped(struct worker *w)
{
    struct hypercall_state *s = w->state;

    for (unsigned int i = 0; i < s->mapped; i++)
        if (s->unmap[i].status != GNTST_okay)
            return worker_fail(w, LOOP_STATUS, "GNTTABOP_unmap_grant_ref", s->unmap[i].status,
                               &s->batch[i]);
    return true;
}

const struct engine hypercall_engine = {
    .open = open_call,
    .close = close_call,
    .prepare = prepare,
    .first = map,
    .check_first = check_mapped,
    .second = unmap,
    .check_second = check_unmapped,
};

/* Xen rejects a map without GNTMAP_device_map or GNTMAP_host_map before it reads any table. */
static void prepare_refused(struct worker *w, const struct target *batch)
{
    struct hypercall_state *s = w->state;

    prepare(w, batch);
    for (size_t i = 0; i < w->loop->batch; i++)
        s->map[i].flags = 0;
}

static bool check_map_refused(struct worker *w)
{
    struct hypercall_state *s = w->state;

    for (size_t i = 0; i < w->loop->batch; i++) {
        if (s->map[i].status >= GNTST_okay)
            return worker_fail(w, LOOP_STATUS, "GNTTABOP_map_grant_ref (expected to be refused)",
                               s->map[i].status, &s->batch[i]);
        s->unmap[i] = (gnttab_unmap_grant_ref_t){
            .handle = INVALID_HANDLE,
            .status = STATUS_UNTOUCHED,
        };
    }
    s->mapped = (unsigned int)w->loop->batch;
    return true;
}

static bool check_unmap_refused(struct worker *w)
{
    struct hypercall_state *s = w->state;

    for (unsigned int i = 0; i < s->mapped; i++)
        if (s->unmap[i].status >= GNTST_okay)
            return worker_fail(w, LOOP_STATUS, "GNTTABOP_unmap_grant_ref (expected to be refused)",
                               s->unmap[i].status, &s->batch[i]);
    return true;
}

const struct engine refused_hypercall_engine = {
    .open = open_call,
    .close = close_call,
    .prepare = prepare_refused,
    .first = map,
    .check_first = check_map_refused,
    .second = unmap,
    .check_second = check_unmap_refused,
};
