/*
 * The engines, run by the real loop over a grant table that keeps books: every reference mapped is
 * unmapped once and no other is, whatever was refused or broke in between. And the sweep, and the
 * log that is kept. For AddressSanitizer and UBSan to watch.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "fake_xen.h"
#include "grant_ops.h"
#include "kept_log.h"
#include "loop.h"

#define TARGETS 12
#define BATCH 4
#define FIRST 100 /* the first reference */

static struct target targets[TARGETS];
static struct worker workers[2];
static uint64_t cursors[2];
static struct loop loop;

static void lay_out(enum loop_engine engine, size_t n_workers)
{
    fake_xen_reset();
    for (uint32_t i = 0; i < TARGETS; i++)
        targets[i] = (struct target){
            .domid = 7,
            .gref = FIRST + i,
            .pattern = fake_xen_pattern(7, FIRST + i),
        };
    for (size_t i = 0; i < n_workers; i++) {
        cursors[i] = 0;
        workers[i] = (struct worker){
            .cpu = -1,
            .targets = targets,
            .n_targets = TARGETS,
            .cursor = &cursors[i],
            .map = histogram_new(3600000000000, 3),
            .unmap = histogram_new(3600000000000, 3),
        };
    }
    loop = (struct loop){
        .engine = engine,
        .workers = workers,
        .n_workers = n_workers,
        .batch = BATCH,
        .warmup = 2,
        .rounds = 20,
    };
}

/* Runs it; the one failure there was, if any. Nothing that was opened stays so. */
static const struct loop_failure *run(void)
{
    const struct loop_failure *failure = &workers[0].failure;

    CHECK(loop_run(&loop) == 0);
    CHECK(fake_xen.open == 0 && fake_xen.buffers == 0);
    CHECK(fake_xen.stale == 0 && fake_xen.largest <= BATCH);
    for (size_t i = 0; i < loop.n_workers; i++) {
        CHECK(workers[i].state == NULL);
        histogram_free(workers[i].map);
        histogram_free(workers[i].unmap);
        if (workers[i].failure.trouble != LOOP_FINE)
            failure = &workers[i].failure;
    }
    return failure;
}

static void test_all_is_well(enum loop_engine engine, bool readonly, int64_t mapped)
{
    lay_out(engine, 2);
    loop.readonly = readonly;
    CHECK(run()->trouble == LOOP_FINE);
    CHECK(workers[0].rounds == 20 && workers[1].rounds == 20);
    CHECK(cursors[0] == 0 && cursors[1] == 0);
    CHECK(fake_xen.live == 0 && fake_xen.mapped == mapped);
    for (uint32_t i = 0; i < fake_xen.handles; i++)
        CHECK(fake_xen.maptrack[i].readonly == readonly && fake_xen.maptrack[i].domid == 7);
}

/* Handles that are names, with bit 31: both workers', of the same references, are alike. */
static void test_fast_handles(bool readonly)
{
    lay_out(LOOP_HYPERCALL, 2);
    for (uint32_t i = 0; i < TARGETS; i++)
        targets[i].gref += 65536 - FIRST - TARGETS / 2; /* half of them beyond what has one */
    fake_xen.fast = true;
    loop.readonly = readonly;
    CHECK(run()->trouble == LOOP_FINE);
    CHECK(fake_xen.live == 0 && fake_xen.mapped == 2 * 22 * BATCH);
}

static void is_errno(const struct loop_failure *failure, const char *call, int number)
{
    CHECK(failure->trouble == LOOP_ERRNO && !strcmp(failure->call, call));
    CHECK(failure->errnum == number && failure->status == 0);
    CHECK(failure->domid == 7);
}

static void test_no_device(enum loop_engine engine, const char *call)
{
    lay_out(engine, 2);
    fake_xen.no_device = true;
    is_errno(run(), call, ENOENT);
    CHECK(fake_xen.calls == 0);
}

static void test_no_buffer(void)
{
    lay_out(LOOP_HYPERCALL, 1);
    fake_xen.no_buffer = true;
    is_errno(run(), "xencall_alloc_buffer_pages", ENOMEM);
    CHECK(fake_xen.calls == 0);
}

/* What of the batch was mapped beside the refused one is unmapped. */
static void test_hypercall_refused(void)
{
    for (uint32_t gref = FIRST; gref < FIRST + TARGETS; gref++) {
        const struct loop_failure *failure;
        uint32_t batch = (gref - FIRST) / BATCH;

        lay_out(LOOP_HYPERCALL, 1);
        fake_xen.refused_gref = gref;
        fake_xen.refused_status = GNTST_bad_gntref;
        failure = run();
        CHECK(failure->trouble == LOOP_STATUS && failure->status == GNTST_bad_gntref);
        CHECK(failure->domid == 7 && failure->gref == gref);
        CHECK(!strcmp(failure->call, "GNTTABOP_map_grant_ref"));
        CHECK(fake_xen.mapped == batch * BATCH + BATCH - 1);
        CHECK(fake_xen.live == 0);
        CHECK(cursors[0] == batch * BATCH + 1);
    }
}

/* The hypercall fails as a whole, after it did a part of the batch, or none of it. */
static void test_hypercall_breaks(void)
{
    for (int64_t done = 0; done < BATCH; done++) {
        lay_out(LOOP_HYPERCALL, 1);
        fake_xen.map_breaks = done;
        is_errno(run(), "GNTTABOP_map_grant_ref", EFAULT);
        CHECK(fake_xen.mapped == done && fake_xen.live == 0);
        /* Nothing was mapped: nothing is to be unmapped, not even with a call. */
        CHECK(fake_xen.calls == (done ? 2 : 1));
        CHECK(cursors[0] == 1);

        lay_out(LOOP_HYPERCALL, 1);
        fake_xen.unmap_breaks = done;
        is_errno(run(), "GNTTABOP_unmap_grant_ref", EFAULT);
        CHECK(fake_xen.mapped == BATCH && fake_xen.live == BATCH - done);
        CHECK(cursors[0] == 1);
    }
}

static void test_unmap_refused(void)
{
    const struct loop_failure *failure;

    lay_out(LOOP_HYPERCALL, 1);
    fake_xen.unmap_refused = true;
    failure = run();
    CHECK(failure->trouble == LOOP_STATUS && failure->status == GNTST_general_error);
    CHECK(!strcmp(failure->call, "GNTTABOP_unmap_grant_ref") && failure->gref == FIRST);
    CHECK(cursors[0] == 1);
}

/* A floor that maps is no floor. */
static void test_floor_that_maps(void)
{
    const struct loop_failure *failure;

    lay_out(LOOP_REFUSED_HYPERCALL, 1);
    fake_xen.maps_anything = true;
    failure = run();
    CHECK(failure->trouble == LOOP_STATUS && failure->status == GNTST_okay);
    CHECK(!strcmp(failure->call, "GNTTABOP_map_grant_ref (to be refused)"));
}

static void test_gntdev(void)
{
    const struct loop_failure *failure;

    lay_out(LOOP_GNTDEV, 1);
    fake_xen.refused_gref = FIRST + 5;
    is_errno(run(), "xengnttab_map_grant_refs", EINVAL);
    CHECK(fake_xen.mapped == BATCH && fake_xen.live == 0 && cursors[0] == BATCH + 1);

    lay_out(LOOP_GNTDEV, 1);
    fake_xen.changed_gref = FIRST + 6;
    failure = run();
    CHECK(failure->trouble == LOOP_CONTENTS && failure->gref == FIRST + 6);
    CHECK(fake_xen.mapped == 2 * BATCH && fake_xen.live == 0);

    lay_out(LOOP_GNTDEV, 1);
    fake_xen.gntdev_stuck = true;
    is_errno(run(), "xengnttab_unmap", EBUSY);
    CHECK(fake_xen.mapped == BATCH); /* and no more; Linux has it back when this process ends */
}

static void test_sweep(void)
{
    gnttab_unmap_grant_ref_t ops[3];
    uint64_t bus_addr = fake_xen_bus_addr(7, FIRST);
    uint32_t wanted, same_page, other_page, other_domain, hosts;

    fake_xen_reset();
    other_page = fake_xen_map(true, 7, FIRST + 1);
    other_domain = fake_xen_map(true, 8, FIRST);
    hosts = fake_xen_map(false, 7, FIRST);
    wanted = fake_xen_map(true, 7, FIRST);
    same_page = fake_xen_map(true, 7, FIRST);

    /* A range without it. */
    memset(ops, 0xa5, sizeof(ops));
    CHECK(grant_sweep(NULL, ops, 3, bus_addr, 0, wanted) == 0);
    CHECK(fake_xen.live == 5 && fake_xen.calls == 1);
    CHECK(grant_sweep(NULL, ops, 3, bus_addr, 0, 0) == 0 && fake_xen.calls == 1);

    /* All of them, and some that are nobody's. */
    CHECK(grant_sweep(NULL, ops, 3, bus_addr, 0, 10) == 0);
    CHECK(fake_xen.calls == 5 && fake_xen.largest == 3);
    CHECK(!fake_xen.maptrack[wanted].live && !fake_xen.maptrack[same_page].live);
    CHECK(fake_xen.maptrack[other_page].live && fake_xen.maptrack[other_domain].live);
    CHECK(fake_xen.maptrack[hosts].live && fake_xen.live == 3);

    fake_xen.unmap_breaks = 1;
    CHECK(grant_sweep(NULL, ops, 3, bus_addr, 0, 10) == -1 && errno == EFAULT);
}

static void say(xentoollog_level level, const char *context, const char *format, ...)
{
    va_list al;

    va_start(al, format);
    kept_log()->vmessage(kept_log(), level, -1, context, format, al);
    va_end(al);
}

static void *silent_thread(void *arg)
{
    (void)arg;
    CHECK(!strcmp(kept_log_take(), ""));
    say(XTL_ERROR, "there", "other");
    CHECK(!strcmp(kept_log_take(), "there: other"));
    return NULL;
}

static void test_kept_log(void)
{
    char lengthy[2000];
    pthread_t thread;

    CHECK(!strcmp(kept_log_take(), ""));
    say(XTL_INFO, "xc", "nothing to worry about");
    CHECK(!strcmp(kept_log_take(), ""));
    say(XTL_WARN, NULL, "first");
    say(XTL_ERROR, "xc", "domain %d", 7);
    CHECK(pthread_create(&thread, NULL, silent_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(!strcmp(kept_log_take(), "xc: domain 7"));
    CHECK(!strcmp(kept_log_take(), ""));

    memset(lengthy, 'x', sizeof(lengthy) - 1);
    lengthy[sizeof(lengthy) - 1] = '\0';
    say(XTL_ERROR, "xc", "%s", lengthy);
    CHECK(!strncmp(kept_log_take(), "xc: xxx", 7));
    say(XTL_ERROR, lengthy, "%s", "lost");
    CHECK(strlen(kept_log_take()) == 511);

    kept_log()->progress(kept_log(), "xc", "saving", 50, 1, 2);
    kept_log()->destroy(kept_log());
    CHECK(!strcmp(kept_log_take(), ""));
}

int main(void)
{
    alarm(100);
    test_all_is_well(LOOP_HYPERCALL, false, 2 * 22 * BATCH);
    test_all_is_well(LOOP_HYPERCALL, true, 2 * 22 * BATCH);
    test_all_is_well(LOOP_GNTDEV, false, 2 * 22 * BATCH);
    test_all_is_well(LOOP_GNTDEV, true, 2 * 22 * BATCH);
    test_all_is_well(LOOP_REFUSED_HYPERCALL, false, 0);
    test_all_is_well(LOOP_REFUSED_GNTDEV, false, 0);
    test_fast_handles(false);
    test_fast_handles(true);
    test_no_device(LOOP_HYPERCALL, "xencall_open");
    test_no_device(LOOP_REFUSED_HYPERCALL, "xencall_open");
    test_no_device(LOOP_GNTDEV, "xengnttab_open");
    test_no_device(LOOP_REFUSED_GNTDEV, "xengnttab_open");
    test_no_buffer();
    test_hypercall_refused();
    test_hypercall_breaks();
    test_unmap_refused();
    test_floor_that_maps();
    test_gntdev();
    test_sweep();
    test_kept_log();
    return 0;
}
