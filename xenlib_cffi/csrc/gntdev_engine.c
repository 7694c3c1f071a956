/*
 * The engine that maps through libxengnttab and /dev/xen/gntdev, as user-space backends do.
 *
 * A map is an ioctl and an mmap. An unmap is an ioctl, a munmap and an ioctl. Since Linux 5.19, an
 * unmap returns before the kernel issues the hypercall: the recorded time is the time that the
 * caller waits, not the time of the grant table operation.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <xengnttab.h>
#include <xen/gntdev.h>

#include "empty_engine.h"
#include "last_message.h"
#include "loop.h"
#include "mapped_pages.h"

struct gntdev_state {
    xengnttab_handle *gnttab;
    uint32_t *domids;
    uint32_t *grefs;
    struct mapped_pages mapped;
};

static bool open_gntdev(struct worker *w)
{
    struct gntdev_state *s = calloc(1, sizeof(*s));

    w->state = s;
    if (!s)
        return worker_fail(w, LOOP_ERRNO, "calloc", ENOMEM, w->targets);
    s->domids = calloc(w->loop->batch, sizeof(*s->domids));
    s->grefs = calloc(w->loop->batch, sizeof(*s->grefs));
    if (!s->domids || !s->grefs)
        return worker_fail(w, LOOP_ERRNO, "calloc", ENOMEM, w->targets);
    s->gnttab = xengnttab_open(last_message_logger(), 0);
    if (!s->gnttab)
        return worker_fail(w, LOOP_ERRNO, "xengnttab_open", errno, w->targets);
    return mapped_pages_open(w, &s->mapped);
}

static void close_gntdev(struct worker *w)
{
    struct gntdev_state *s = w->state;

    if (!s)
        return;
    if (s->gnttab)
        xengnttab_close(s->gnttab);
    mapped_pages_close(&s->mapped);
    free(s->domids);
    free(s->grefs);
    free(s);
    w->state = NULL;
}

static void prepare(struct worker *w, const struct target *batch)
{
    struct gntdev_state *s = w->state;

    s->mapped.batch = batch;
    for (size_t i = 0; i < w->loop->batch; i++) {
        s->domids[i] = batch[i].domid;
        s->grefs[i] = batch[i].gref;
    }
}

static bool map(struct worker *w)
{
    struct gntdev_state *s = w->state;

    s->mapped.pages = xengnttab_map_grant_refs(s->gnttab, (uint32_t)w->loop->batch, s->domids,
                                               s->grefs,
                                               PROT_READ | (w->loop->readonly ? 0 : PROT_WRITE));
    if (s->mapped.pages)
        return true;
    return worker_fail(w, LOOP_ERRNO, "xengnttab_map_grant_refs", errno, s->mapped.batch);
}

static void touch(struct worker *w)
{
    struct gntdev_state *s = w->state;

    mapped_pages_touch(w, &s->mapped);
}

static bool check_contents(struct worker *w)
{
    struct gntdev_state *s = w->state;

    return mapped_pages_check(w, &s->mapped, "xengnttab_map_grant_refs");
}

static bool unmap(struct worker *w)
{
    struct gntdev_state *s = w->state;

    if (!s->mapped.pages || !xengnttab_unmap(s->gnttab, s->mapped.pages, (uint32_t)w->loop->batch))
        return true;
    return worker_fail(w, LOOP_ERRNO, "xengnttab_unmap", errno, s->mapped.batch);
}

const struct engine gntdev_engine = {
    .open = open_gntdev,
    .close = close_gntdev,
    .prepare = prepare,
    .first = map,
    .touch = touch,
    .check_first = check_contents,
    .second = unmap,
    .check_second = empty_step,
};

/* An ioctl with a count of 0, which the driver rejects at once with EINVAL. */
static bool map_refused(struct worker *w)
{
    struct gntdev_state *s = w->state;
    struct ioctl_gntdev_map_grant_ref nothing = { .count = 0 };

    if (ioctl(xengnttab_fd(s->gnttab), IOCTL_GNTDEV_MAP_GRANT_REF, &nothing))
        return true;
    return worker_fail(w, LOOP_ERRNO, "IOCTL_GNTDEV_MAP_GRANT_REF (expected to be refused)", 0,
                       s->mapped.batch);
}

static bool unmap_refused(struct worker *w)
{
    struct gntdev_state *s = w->state;
    struct ioctl_gntdev_unmap_grant_ref nothing = { .count = 0 };

    if (ioctl(xengnttab_fd(s->gnttab), IOCTL_GNTDEV_UNMAP_GRANT_REF, &nothing))
        return true;
    return worker_fail(w, LOOP_ERRNO, "IOCTL_GNTDEV_UNMAP_GRANT_REF (expected to be refused)", 0,
                       s->mapped.batch);
}

const struct engine refused_gntdev_engine = {
    .open = open_gntdev,
    .close = close_gntdev,
    .prepare = prepare,
    .first = map_refused,
    .touch = empty_touch,
    .check_first = empty_step,
    .second = unmap_refused,
    .check_second = empty_step,
};
