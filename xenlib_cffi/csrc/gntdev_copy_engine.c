/*
 * The engine that copies through libxengnttab and /dev/xen/gntdev, as user-space backends do that
 * do not map: from the granter's pages to memory of this process, and back.
 *
 * Linux pins the memory of this process for each call, and issues GNTTABOP_copy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <xengnttab.h>
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/gntdev.h>

#include "empty_engine.h"
#include "grant_ops.h"
#include "last_message.h"
#include "loop.h"
#include "marks.h"
#include "page.h"

struct gntdev_copy_state {
    xengnttab_handle *gnttab;
    xengnttab_grant_copy_segment_t *from, *to;
    unsigned char *local;
    struct marks marks;
    const struct target *batch;
};

static bool open_gntdev_copy(struct worker *w)
{
    struct gntdev_copy_state *s = calloc(1, sizeof(*s));
    size_t batch = w->loop->batch;

    w->state = s;
    if (!s)
        return worker_fail(w, LOOP_ERRNO, "calloc", ENOMEM, w->targets);
    s->from = calloc(batch, sizeof(*s->from));
    s->to = calloc(batch, sizeof(*s->to));
    s->local = aligned_alloc(XENLIB_PAGE_SIZE, batch * XENLIB_PAGE_SIZE);
    if (!s->from || !s->to || !s->local)
        return worker_fail(w, LOOP_ERRNO, "calloc", ENOMEM, w->targets);
    memset(s->local, 0, batch * XENLIB_PAGE_SIZE); /* page faults now, not in a timed section */
    s->gnttab = xengnttab_open(last_message_logger(), 0);
    if (!s->gnttab)
        return worker_fail(w, LOOP_ERRNO, "xengnttab_open", errno, w->targets);
    return marks_open(w, &s->marks);
}

static void close_gntdev_copy(struct worker *w)
{
    struct gntdev_copy_state *s = w->state;

    if (!s)
        return;
    marks_close(&s->marks);
    if (s->gnttab)
        xengnttab_close(s->gnttab);
    free(s->local);
    free(s->to);
    free(s->from);
    free(s);
    w->state = NULL;
}

static void prepare(struct worker *w, const struct target *batch)
{
    struct gntdev_copy_state *s = w->state;

    s->batch = batch;
    marks_prepare(w, s->local);
    for (size_t i = 0; i < w->loop->batch; i++) {
        void *local = s->local + i * XENLIB_PAGE_SIZE;

        s->from[i] = (xengnttab_grant_copy_segment_t){
            .source.foreign.ref = batch[i].gref,
            .source.foreign.domid = (uint16_t)batch[i].domid,
            .dest.virt = local,
            .len = (uint16_t)w->loop->bytes,
            .flags = GNTCOPY_source_gref,
            .status = STATUS_UNTOUCHED,
        };
        s->to[i] = (xengnttab_grant_copy_segment_t){
            .source.virt = local,
            .dest.foreign.ref = batch[i].gref,
            .dest.foreign.domid = (uint16_t)batch[i].domid,
            .len = (uint16_t)w->loop->bytes,
            .flags = GNTCOPY_dest_gref,
            .status = STATUS_UNTOUCHED,
        };
    }
}

static bool copy(struct worker *w, xengnttab_grant_copy_segment_t *segments)
{
    struct gntdev_copy_state *s = w->state;

    if (!xengnttab_grant_copy(s->gnttab, (uint32_t)w->loop->batch, segments))
        return true;
    return worker_fail(w, LOOP_ERRNO, "xengnttab_grant_copy", errno, s->batch);
}

static bool copy_from(struct worker *w)
{
    struct gntdev_copy_state *s = w->state;

    return copy(w, s->from);
}

static bool copy_to(struct worker *w)
{
    struct gntdev_copy_state *s = w->state;

    /* After a failed copy from the granter, there is nothing to copy back. */
    return w->failure.error == LOOP_OK && copy(w, s->to);
}

static bool check_statuses(struct worker *w, const xengnttab_grant_copy_segment_t *segments)
{
    struct gntdev_copy_state *s = w->state;

    for (size_t i = 0; i < w->loop->batch; i++)
        if (segments[i].status != GNTST_okay)
            return worker_fail(w, LOOP_STATUS, "xengnttab_grant_copy", segments[i].status,
                               &s->batch[i]);
    return true;
}

static bool check_from(struct worker *w)
{
    struct gntdev_copy_state *s = w->state;

    return check_statuses(w, s->from) &&
           marks_check_and_set(w, &s->marks, s->local, s->batch, "xengnttab_grant_copy");
}

static bool check_to(struct worker *w)
{
    struct gntdev_copy_state *s = w->state;

    if (!check_statuses(w, s->to))
        return false;
    marks_written(w, &s->marks, s->local, s->batch);
    return true;
}

const struct engine gntdev_copy_engine = {
    .open = open_gntdev_copy,
    .close = close_gntdev_copy,
    .prepare = prepare,
    .first = copy_from,
    .check_first = check_from,
    .second = copy_to,
    .check_second = check_to,
};

/* A segment between two local buffers, which the driver rejects at once with EINVAL. */
static bool copy_refused(struct worker *w)
{
    struct gntdev_copy_state *s = w->state;
    struct gntdev_grant_copy_segment local = { .flags = 0 };
    struct ioctl_gntdev_grant_copy one = { .count = 1, .segments = &local };

    if (ioctl(xengnttab_fd(s->gnttab), IOCTL_GNTDEV_GRANT_COPY, &one))
        return true;
    return worker_fail(w, LOOP_ERRNO, "IOCTL_GNTDEV_GRANT_COPY (expected to be refused)", 0,
                       s->batch);
}

const struct engine refused_gntdev_copy_engine = {
    .open = open_gntdev_copy,
    .close = close_gntdev_copy,
    .prepare = prepare,
    .first = copy_refused,
    .check_first = empty_step,
    .second = copy_refused,
    .check_second = empty_step,
};
