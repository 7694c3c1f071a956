/*
 * The engine that maps all references once, through gntdev, and then copies from and to their
 * pages, as block backends do with persistent grants (`feature-persistent`).
 *
 * A copy is a memcpy() without any call of Linux or Xen.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xengnttab.h>

#include "last_message.h"
#include "loop.h"
#include "marks.h"
#include "page.h"

struct persistent_state {
    xengnttab_handle *gnttab;
    unsigned char *pages; /* of all targets of the worker, in their order */
    unsigned char *local;
    struct marks marks;
    size_t first; /* index of the first target of the batch */
};

static bool map_all(struct worker *w, struct persistent_state *s)
{
    uint32_t *domids = calloc(w->n_targets, sizeof(*domids));
    uint32_t *grefs = calloc(w->n_targets, sizeof(*grefs));
    bool ok = domids && grefs;

    if (!ok)
        worker_fail(w, LOOP_ERRNO, "calloc", ENOMEM, w->targets);
    for (size_t i = 0; ok && i < w->n_targets; i++) {
        domids[i] = w->targets[i].domid;
        grefs[i] = w->targets[i].gref;
    }
    if (ok) {
        s->pages = xengnttab_map_grant_refs(s->gnttab, (uint32_t)w->n_targets, domids, grefs,
                                            PROT_READ | PROT_WRITE);
        ok = s->pages || worker_fail(w, LOOP_ERRNO, "xengnttab_map_grant_refs", errno, w->targets);
    }
    free(grefs);
    free(domids);
    return ok;
}

static bool open_persistent(struct worker *w)
{
    struct persistent_state *s = calloc(1, sizeof(*s));

    w->state = s;
    if (!s)
        return worker_fail(w, LOOP_ERRNO, "calloc", ENOMEM, w->targets);
    s->local = aligned_alloc(XENLIB_PAGE_SIZE, w->loop->batch * XENLIB_PAGE_SIZE);
    if (!s->local)
        return worker_fail(w, LOOP_ERRNO, "aligned_alloc", ENOMEM, w->targets);
    memset(s->local, 0, w->loop->batch * XENLIB_PAGE_SIZE); /* page faults now */
    s->gnttab = xengnttab_open(last_message_logger(), 0);
    if (!s->gnttab)
        return worker_fail(w, LOOP_ERRNO, "xengnttab_open", errno, w->targets);
    return map_all(w, s) && marks_open(w, &s->marks);
}

static void close_persistent(struct worker *w)
{
    struct persistent_state *s = w->state;

    if (!s)
        return;
    marks_close(&s->marks);
    if (s->pages)
        xengnttab_unmap(s->gnttab, s->pages, (uint32_t)w->n_targets);
    if (s->gnttab)
        xengnttab_close(s->gnttab);
    free(s->local);
    free(s);
    w->state = NULL;
}

static void prepare(struct worker *w, const struct target *batch)
{
    struct persistent_state *s = w->state;

    s->first = (size_t)(batch - w->targets);
    marks_prepare(w, s->local);
}

static bool copy_from(struct worker *w)
{
    struct persistent_state *s = w->state;
    const unsigned char *pages = s->pages + s->first * XENLIB_PAGE_SIZE;

    for (size_t i = 0; i < w->loop->batch * XENLIB_PAGE_SIZE; i += XENLIB_PAGE_SIZE)
        memcpy(s->local + i, pages + i, w->loop->bytes);
    return true;
}

static bool copy_to(struct worker *w)
{
    struct persistent_state *s = w->state;
    unsigned char *pages = s->pages + s->first * XENLIB_PAGE_SIZE;

    for (size_t i = 0; i < w->loop->batch * XENLIB_PAGE_SIZE; i += XENLIB_PAGE_SIZE)
        memcpy(pages + i, s->local + i, w->loop->bytes);
    return true;
}

static bool check_from(struct worker *w)
{
    struct persistent_state *s = w->state;

    return marks_check_and_set(w, &s->marks, s->local, w->targets + s->first,
                               "xengnttab_map_grant_refs");
}

static bool check_to(struct worker *w)
{
    struct persistent_state *s = w->state;

    marks_written(w, &s->marks, s->local, w->targets + s->first);
    return true;
}

const struct engine persistent_engine = {
    .open = open_persistent,
    .close = close_persistent,
    .prepare = prepare,
    .first = copy_from,
    .check_first = check_from,
    .second = copy_to,
    .check_second = check_to,
};
