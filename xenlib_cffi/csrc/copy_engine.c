/*
 * The engine that issues GNTTABOP_copy itself: from the granter's pages to pages of this process,
 * and back.
 *
 * Xen maps both pages for the time of a copy. Neither this domain's page tables nor its maptrack
 * table change.
 */
#include <errno.h>
#include <stdlib.h>

#include "call_arrays.h"
#include "loop.h"
#include "marks.h"

struct copy_state {
    struct call_arrays arrays;
    gnttab_copy_t *from, *to;
    struct marks marks;
    const struct target *batch;
};

static bool open_copy(struct worker *w)
{
    struct copy_state *s = calloc(1, sizeof(*s));

    w->state = s;
    if (!s)
        return worker_fail(w, LOOP_ERRNO, "calloc", ENOMEM, w->targets);
    if (!call_arrays_open(w, &s->arrays, sizeof(*s->from), sizeof(*s->to)))
        return false;
    s->from = s->arrays.first;
    s->to = s->arrays.second;
    return marks_open(w, &s->marks);
}

static void close_copy(struct worker *w)
{
    struct copy_state *s = w->state;

    if (!s)
        return;
    marks_close(&s->marks);
    call_arrays_close(&s->arrays);
    free(s);
    w->state = NULL;
}

static void prepare(struct worker *w, const struct target *batch)
{
    struct copy_state *s = w->state;

    s->batch = batch;
    marks_prepare(w, w->local);
    for (size_t i = 0; i < w->loop->batch; i++) {
        struct gnttab_copy_ptr granted = { .u.ref = batch[i].gref,
                                           .domid = (domid_t)batch[i].domid };
        struct gnttab_copy_ptr local = { .u.gmfn = w->local_frames[i], .domid = DOMID_SELF };

        s->from[i] = (gnttab_copy_t){
            .source = granted,
            .dest = local,
            .len = (uint16_t)w->loop->bytes,
            .flags = GNTCOPY_source_gref,
            .status = STATUS_UNTOUCHED,
        };
        s->to[i] = (gnttab_copy_t){
            .source = local,
            .dest = granted,
            .len = (uint16_t)w->loop->bytes,
            .flags = GNTCOPY_dest_gref,
            .status = STATUS_UNTOUCHED,
        };
    }
}

static bool copy(struct worker *w, gnttab_copy_t *ops)
{
    struct copy_state *s = w->state;

    if (!grant_copy(s->arrays.call, ops, (unsigned int)w->loop->batch))
        return true;
    return worker_fail(w, LOOP_ERRNO, "GNTTABOP_copy", errno, s->batch);
}

static bool copy_from(struct worker *w)
{
    struct copy_state *s = w->state;

    return copy(w, s->from);
}

static bool copy_to(struct worker *w)
{
    struct copy_state *s = w->state;

    /* After a failed copy from the granter, there is nothing to copy back. */
    return w->failure.error == LOOP_OK && copy(w, s->to);
}

static bool check_statuses(struct worker *w, const gnttab_copy_t *ops)
{
    struct copy_state *s = w->state;

    for (size_t i = 0; i < w->loop->batch; i++)
        if (ops[i].status != GNTST_okay)
            return worker_fail(w, LOOP_STATUS, "GNTTABOP_copy", ops[i].status, &s->batch[i]);
    return true;
}

static bool check_from(struct worker *w)
{
    struct copy_state *s = w->state;

    return check_statuses(w, s->from) &&
           marks_check_and_set(w, &s->marks, w->local, s->batch, "GNTTABOP_copy");
}

static bool check_to(struct worker *w)
{
    struct copy_state *s = w->state;

    if (!check_statuses(w, s->to))
        return false;
    marks_written(w, &s->marks, w->local, s->batch);
    return true;
}

const struct engine copy_engine = {
    .open = open_copy,
    .close = close_copy,
    .prepare = prepare,
    .first = copy_from,
    .check_first = check_from,
    .second = copy_to,
    .check_second = check_to,
};

/* Xen rejects a copy between frames, rather than references, of another domain at once. */
static void prepare_refused(struct worker *w, const struct target *batch)
{
    struct copy_state *s = w->state;

    prepare(w, batch);
    for (size_t i = 0; i < w->loop->batch; i++)
        s->from[i].flags = s->to[i].flags = 0;
}

static bool check_refused(struct worker *w, const gnttab_copy_t *ops)
{
    struct copy_state *s = w->state;

    for (size_t i = 0; i < w->loop->batch; i++)
        if (ops[i].status >= GNTST_okay)
            return worker_fail(w, LOOP_STATUS, "GNTTABOP_copy (expected to be refused)",
                               ops[i].status, &s->batch[i]);
    return true;
}

static bool check_from_refused(struct worker *w)
{
    struct copy_state *s = w->state;

    return check_refused(w, s->from);
}

static bool check_to_refused(struct worker *w)
{
    struct copy_state *s = w->state;

    return check_refused(w, s->to);
}

const struct engine refused_copy_engine = {
    .open = open_copy,
    .close = close_copy,
    .prepare = prepare_refused,
    .first = copy_from,
    .check_first = check_from_refused,
    .second = copy_to,
    .check_second = check_to_refused,
};
