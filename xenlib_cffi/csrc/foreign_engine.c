/*
 * The engine that maps pages by their frame with libxenforeignmemory, which only a privileged domain
 * may: no grant is needed, and none is checked. It is what mapping all of a guest's memory costs.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <xencall.h>
#include <xenforeignmemory.h>
#include <xen/xen.h>
#include <xen/sys/privcmd.h>

#include "empty_engine.h"
#include "last_message.h"
#include "loop.h"
#include "mapped_pages.h"
#include "page.h"

struct foreign_state {
    xenforeignmemory_handle *memory;
    xencall_handle *call; /* only of the refused engine: its file is privcmd, too */
    xen_pfn_t *frames;
    struct mapped_pages mapped;
};

static bool open_foreign(struct worker *w)
{
    struct foreign_state *s = calloc(1, sizeof(*s));

    w->state = s;
    if (!s)
        return worker_fail(w, LOOP_ERRNO, "calloc", ENOMEM, w->targets);
    s->frames = calloc(w->loop->batch, sizeof(*s->frames));
    if (!s->frames)
        return worker_fail(w, LOOP_ERRNO, "calloc", ENOMEM, w->targets);
    s->memory = xenforeignmemory_open(last_message_logger(), 0);
    if (!s->memory)
        return worker_fail(w, LOOP_ERRNO, "xenforeignmemory_open", errno, w->targets);
    return mapped_pages_open(w, &s->mapped);
}

static void close_foreign(struct worker *w)
{
    struct foreign_state *s = w->state;

    if (!s)
        return;
    if (s->memory)
        xenforeignmemory_close(s->memory);
    if (s->call)
        xencall_close(s->call);
    mapped_pages_close(&s->mapped);
    free(s->frames);
    free(s);
    w->state = NULL;
}

static void prepare(struct worker *w, const struct target *batch)
{
    struct foreign_state *s = w->state;

    s->mapped.batch = batch;
    for (size_t i = 0; i < w->loop->batch; i++)
        s->frames[i] = batch[i].frame;
}

/* All pages of a batch belong to one domain. */
static bool map(struct worker *w)
{
    struct foreign_state *s = w->state;

    s->mapped.pages = xenforeignmemory_map(s->memory, s->mapped.batch->domid,
                                           PROT_READ | (w->loop->readonly ? 0 : PROT_WRITE),
                                           w->loop->batch, s->frames, NULL);
    if (s->mapped.pages)
        return true;
    return worker_fail(w, LOOP_ERRNO, "xenforeignmemory_map", errno, s->mapped.batch);
}

static void touch(struct worker *w)
{
    struct foreign_state *s = w->state;

    mapped_pages_touch(w, &s->mapped);
}

static bool check_contents(struct worker *w)
{
    struct foreign_state *s = w->state;

    return mapped_pages_check(w, &s->mapped, "xenforeignmemory_map");
}

static bool unmap(struct worker *w)
{
    struct foreign_state *s = w->state;

    if (!s->mapped.pages || !xenforeignmemory_unmap(s->memory, s->mapped.pages, w->loop->batch))
        return true;
    return worker_fail(w, LOOP_ERRNO, "xenforeignmemory_unmap", errno, s->mapped.batch);
}

const struct engine foreign_engine = {
    .open = open_foreign,
    .close = close_foreign,
    .prepare = prepare,
    .first = map,
    .touch = touch,
    .check_first = check_contents,
    .second = unmap,
    .check_second = empty_step,
};

static bool open_refused(struct worker *w)
{
    struct foreign_state *s;

    if (!open_foreign(w))
        return false;
    s = w->state;
    s->call = xencall_open(last_message_logger(), 0);
    return s->call || worker_fail(w, LOOP_ERRNO, "xencall_open", errno, w->targets);
}

/* An ioctl for no pages, which the driver rejects at once with EINVAL. */
static bool map_refused(struct worker *w)
{
    struct foreign_state *s = w->state;
    privcmd_mmapbatch_v2_t nothing = { .num = 0 };

    if (ioctl(xencall_fd(s->call), IOCTL_PRIVCMD_MMAPBATCH_V2, &nothing))
        return true;
    return worker_fail(w, LOOP_ERRNO, "IOCTL_PRIVCMD_MMAPBATCH_V2 (expected to be refused)", 0,
                       s->mapped.batch);
}

/* An address that is not that of a page, which Linux rejects at once with EINVAL. */
static bool unmap_refused(struct worker *w)
{
    struct foreign_state *s = w->state;

    if (munmap((void *)1, XENLIB_PAGE_SIZE))
        return true;
    return worker_fail(w, LOOP_ERRNO, "munmap (expected to be refused)", 0, s->mapped.batch);
}

const struct engine refused_foreign_engine = {
    .open = open_refused,
    .close = close_foreign,
    .prepare = prepare,
    .first = map_refused,
    .touch = empty_touch,
    .check_first = empty_step,
    .second = unmap_refused,
    .check_second = empty_step,
};
