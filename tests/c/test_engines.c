/*
 * Tests of the engines in the real loop, on the fake grant table: every mapping is unmapped exactly
 * once, whichever operation or call fails, and a copy that does nothing is found. Also tests of grant_sweep() and last_message.h. They run
 * under AddressSanitizer and UBSan.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "fake_xen.h"
#include "grant_ops.h"
#include "last_message.h"
#include "loop.h"
#include "page.h"

#define TARGETS 12
#define BATCH 4
#define DOMID 7
#define FIRST_GREF 100

static struct target targets[TARGETS];
static struct worker workers[2];
static uint64_t cursors[2];
static uint64_t local_frames[2][BATCH];
static _Alignas(XENLIB_PAGE_SIZE) unsigned char local_pages[2][BATCH * XENLIB_PAGE_SIZE];
static struct loop loop;
static int64_t touched; /* recorded touches of the last run */

static void set_up(enum loop_engine engine, size_t n_workers)
{
    fake_xen_reset();
    fake_xen.tables = true; /* libxenforeignmemory can be opened */
    for (uint32_t i = 0; i < TARGETS; i++)
        targets[i] = (struct target){
            .domid = DOMID,
            .gref = FIRST_GREF + i,
            .pattern = fake_xen_pattern(DOMID, FIRST_GREF + i),
            .frame = FIRST_GREF + i,
        };
    for (size_t i = 0; i < n_workers; i++) {
        cursors[i] = 0;
        for (size_t j = 0; j < BATCH; j++)
            local_frames[i][j] = fake_xen_frame(local_pages[i] + j * XENLIB_PAGE_SIZE);
        workers[i] = (struct worker){
            .cpu = -1,
            .targets = targets,
            .n_targets = TARGETS,
            .cursor = &cursors[i],
            .first = histogram_new(3600000000000, 3),
            .touch = histogram_new(3600000000000, 3),
            .second = histogram_new(3600000000000, 3),
            .local = local_pages[i],
            .local_frames = local_frames[i],
        };
    }
    loop = (struct loop){
        .engine = engine,
        .workers = workers,
        .n_workers = n_workers,
        .batch = BATCH,
        .bytes = XENLIB_PAGE_SIZE,
        .warmup = 2,
        .rounds = 20,
    };
}

/* Runs the loop and checks that all resources are freed. Returns the failure, if there was one. */
static const struct loop_failure *run(void)
{
    const struct loop_failure *failure = &workers[0].failure;

    touched = 0;
    CHECK(loop_run(&loop) == 0);
    CHECK(fake_xen.open == 0 && fake_xen.buffers == 0);
    CHECK(fake_xen.stale == 0);
    CHECK(fake_xen.largest <= (loop.engine == LOOP_PERSISTENT ? TARGETS : BATCH));
    for (size_t i = 0; i < loop.n_workers; i++) {
        CHECK(workers[i].state == NULL);
        touched += workers[i].touch->total;
        histogram_free(workers[i].first);
        histogram_free(workers[i].touch);
        histogram_free(workers[i].second);
        if (workers[i].failure.error != LOOP_OK)
            failure = &workers[i].failure;
    }
    return failure;
}

static void test_success(enum loop_engine engine, bool readonly, int64_t mapped)
{
    set_up(engine, 2);
    loop.readonly = readonly;
    CHECK(run()->error == LOOP_OK);
    CHECK(workers[0].rounds == 20 && workers[1].rounds == 20);
    CHECK(cursors[0] == 0 && cursors[1] == 0);
    CHECK(fake_xen.live == 0 && fake_xen.mapped == mapped && touched == 0);
    for (uint32_t i = 0; i < fake_xen.handles; i++)
        CHECK(fake_xen.maptrack[i].readonly == readonly && fake_xen.maptrack[i].domid == DOMID);
}

/* Both workers copy `bytes` from and to pages of their own, at each of 22 rounds. */
static void test_copies(enum loop_engine engine, size_t bytes, int64_t mapped)
{
    set_up(engine, 2);
    for (size_t i = 0; i < 2; i++) {
        workers[i].targets = targets + i * (TARGETS / 2);
        workers[i].n_targets = TARGETS / 2;
    }
    loop.bytes = bytes;
    CHECK(run()->error == LOOP_OK);
    CHECK(workers[0].rounds == 20 && workers[1].rounds == 20);
    CHECK(cursors[0] == 0 && cursors[1] == 0 && fake_xen.live == 0 && fake_xen.mapped == mapped);
    if (!mapped)
        CHECK(fake_xen.copied == (int64_t)(2 * 22 * 2 * BATCH * bytes));
}

/* Reading, writing and copying mapped pages, each of which then still has its pattern. */
static void test_touch(enum loop_engine engine)
{
    for (enum loop_touch touch = TOUCH_READ; touch <= TOUCH_COPY; touch++)
        for (size_t bytes = 64; bytes <= XENLIB_PAGE_SIZE; bytes += 1436) {
            set_up(engine, 2);
            loop.touch = touch;
            loop.bytes = bytes;
            CHECK(run()->error == LOOP_OK);
            CHECK(touched == 40 && fake_xen.live == 0);
        }
    set_up(engine, 1);
    loop.touch = TOUCH_WRITE;
    fake_xen.refused_gref = FIRST_GREF + 5; /* the second batch is not touched */
    CHECK(run()->error != LOOP_OK && touched == 0);
}

/* Fast handles, with bit 31 set: the mappings of both workers have the same handles. */
static void test_fast_handles(bool readonly)
{
    set_up(LOOP_HYPERCALL, 2);
    for (uint32_t i = 0; i < TARGETS; i++)
        targets[i].gref += 65536 - FIRST_GREF -
                           TARGETS / 2; /* half of them are too large for fast handles */
    fake_xen.fast = true;
    loop.readonly = readonly;
    CHECK(run()->error == LOOP_OK);
    CHECK(fake_xen.live == 0 && fake_xen.mapped == 2 * 22 * BATCH);
}

static void check_errno(const struct loop_failure *failure, const char *call, int number)
{
    CHECK(failure->error == LOOP_ERRNO && !strcmp(failure->call, call));
    CHECK(failure->errnum == number && failure->status == 0);
    CHECK(failure->domid == DOMID);
}

static void test_open_fails(enum loop_engine engine, const char *call)
{
    set_up(engine, 2);
    fake_xen.no_device = true;
    check_errno(run(), call, ENOENT);
    CHECK(fake_xen.calls == 0);
}

static void test_buffer_allocation_fails(enum loop_engine engine)
{
    set_up(engine, 1);
    fake_xen.no_buffer = true;
    check_errno(run(), "xencall_alloc_buffer_pages", ENOMEM);
    CHECK(fake_xen.calls == 0);
}

/* The mapped references of a batch with a rejected one are unmapped. */
static void test_rejected_map(void)
{
    for (uint32_t gref = FIRST_GREF; gref < FIRST_GREF + TARGETS; gref++) {
        const struct loop_failure *failure;
        uint32_t batch = (gref - FIRST_GREF) / BATCH;

        set_up(LOOP_HYPERCALL, 1);
        fake_xen.refused_gref = gref;
        fake_xen.refused_status = GNTST_bad_gntref;
        failure = run();
        CHECK(failure->error == LOOP_STATUS && failure->status == GNTST_bad_gntref);
        CHECK(failure->domid == DOMID && failure->gref == gref);
        CHECK(!strcmp(failure->call, "GNTTABOP_map_grant_ref"));
        CHECK(fake_xen.mapped == batch * BATCH + BATCH - 1);
        CHECK(fake_xen.live == 0);
        CHECK(cursors[0] == batch * BATCH + 1);
    }
}

/* The hypercall fails after it has processed a part of the batch, or nothing. */
static void test_failing_hypercall(void)
{
    for (int64_t done = 0; done < BATCH; done++) {
        set_up(LOOP_HYPERCALL, 1);
        fake_xen.map_breaks = done;
        check_errno(run(), "GNTTABOP_map_grant_ref", EFAULT);
        CHECK(fake_xen.mapped == done && fake_xen.live == 0);
        /* If nothing was mapped, there is no unmap hypercall. */
        CHECK(fake_xen.calls == (done ? 2 : 1));
        CHECK(cursors[0] == 1);

        set_up(LOOP_HYPERCALL, 1);
        fake_xen.unmap_breaks = done;
        check_errno(run(), "GNTTABOP_unmap_grant_ref", EFAULT);
        CHECK(fake_xen.mapped == BATCH && fake_xen.live == BATCH - done);
        CHECK(cursors[0] == 1);
    }
}

static void test_rejected_unmap(void)
{
    const struct loop_failure *failure;

    set_up(LOOP_HYPERCALL, 1);
    fake_xen.unmap_refused = true;
    failure = run();
    CHECK(failure->error == LOOP_STATUS && failure->status == GNTST_general_error);
    CHECK(!strcmp(failure->call, "GNTTABOP_unmap_grant_ref") && failure->gref == FIRST_GREF);
    CHECK(cursors[0] == 1);
}

/* An operation that is expected to be rejected succeeds: it would not measure the overhead. */
static void test_refused_engine_maps(void)
{
    const struct loop_failure *failure;

    set_up(LOOP_REFUSED_HYPERCALL, 1);
    fake_xen.maps_anything = true;
    failure = run();
    CHECK(failure->error == LOOP_STATUS && failure->status == GNTST_okay);
    CHECK(!strcmp(failure->call, "GNTTABOP_map_grant_ref (expected to be refused)"));
}

static void test_gntdev(void)
{
    const struct loop_failure *failure;

    set_up(LOOP_GNTDEV, 1);
    fake_xen.refused_gref = FIRST_GREF + 5;
    check_errno(run(), "xengnttab_map_grant_refs", EINVAL);
    CHECK(fake_xen.mapped == BATCH && fake_xen.live == 0 && cursors[0] == BATCH + 1);

    set_up(LOOP_GNTDEV, 1);
    fake_xen.changed_gref = FIRST_GREF + 6;
    failure = run();
    CHECK(failure->error == LOOP_CONTENTS && failure->gref == FIRST_GREF + 6);
    CHECK(fake_xen.mapped == 2 * BATCH && fake_xen.live == 0);

    set_up(LOOP_GNTDEV, 1);
    fake_xen.gntdev_stuck = true;
    check_errno(run(), "xengnttab_unmap", EBUSY);
    CHECK(fake_xen.mapped == BATCH); /* Linux unmaps it when the process ends */
}

static void check_status(const struct loop_failure *failure, const char *call, int status,
                         uint32_t gref)
{
    CHECK(failure->error == LOOP_STATUS && failure->status == status);
    CHECK(!strcmp(failure->call, call) && failure->domid == DOMID && failure->gref == gref);
}

static void test_failing_copies(enum loop_engine engine, const char *call)
{
    for (uint32_t gref = FIRST_GREF; gref < FIRST_GREF + TARGETS; gref++) {
        int64_t batch = (gref - FIRST_GREF) / BATCH;

        set_up(engine, 1);
        fake_xen.refused_gref = gref;
        fake_xen.refused_status = GNTST_bad_gntref;
        check_status(run(), call, GNTST_bad_gntref, gref);
        /* Nothing of the batch is copied back. */
        CHECK(fake_xen.calls == 2 * batch + 1);

        set_up(engine, 1);
        fake_xen.changed_gref = gref;
        CHECK(run()->error == LOOP_CONTENTS && workers[0].failure.gref == gref);
        CHECK(!strcmp(workers[0].failure.call, call) && fake_xen.calls == 2 * batch + 1);
        CHECK(cursors[0] == (uint64_t)batch * BATCH + 1);

        /* Xen copies nothing, and reports no error. */
        set_up(engine, 1);
        fake_xen.lost_copy = gref;
        CHECK(run()->error == LOOP_CONTENTS && workers[0].failure.gref == gref);
    }
    for (int64_t done = 0; done < BATCH; done++) {
        set_up(engine, 1);
        fake_xen.copy_breaks = done;
        check_errno(run(), call, EFAULT);
        CHECK(fake_xen.calls == 1);
    }
}

/* A copy to the granter that has no effect is found at the next copy from that page. */
static void test_lost_writes(enum loop_engine engine)
{
    set_up(engine, 1);
    fake_xen.lost_writes = true;
    CHECK(run()->error == LOOP_CONTENTS && workers[0].failure.gref == FIRST_GREF);
    CHECK(fake_xen.calls == TARGETS / BATCH * 2 + 1);
}

static void test_refused_copies_succeed(void)
{
    set_up(LOOP_REFUSED_COPY, 1);
    fake_xen.copies_anything = true;
    check_status(run(), "GNTTABOP_copy (expected to be refused)", GNTST_okay, FIRST_GREF);
}

static void test_persistent(void)
{
    set_up(LOOP_PERSISTENT, 1);
    fake_xen.refused_gref = FIRST_GREF + 5;
    check_errno(run(), "xengnttab_map_grant_refs", EINVAL);
    CHECK(fake_xen.mapped == 0);

    set_up(LOOP_PERSISTENT, 1);
    fake_xen.changed_gref = FIRST_GREF + 6;
    CHECK(run()->error == LOOP_CONTENTS && workers[0].failure.gref == FIRST_GREF + 6);
    CHECK(fake_xen.mapped == TARGETS && fake_xen.live == 0);
}

static void test_foreign(void)
{
    set_up(LOOP_FOREIGN, 1);
    fake_xen.refused_gref = FIRST_GREF + 5;
    check_errno(run(), "xenforeignmemory_map", EINVAL);
    CHECK(fake_xen.mapped == BATCH && fake_xen.live == 0);

    set_up(LOOP_FOREIGN, 1);
    fake_xen.changed_gref = FIRST_GREF + 6;
    CHECK(run()->error == LOOP_CONTENTS && workers[0].failure.gref == FIRST_GREF + 6);
    CHECK(fake_xen.mapped == 2 * BATCH && fake_xen.live == 0);

    set_up(LOOP_FOREIGN, 1);
    fake_xen.gntdev_stuck = true;
    check_errno(run(), "xenforeignmemory_unmap", EBUSY);

    set_up(LOOP_FOREIGN, 1);
    fake_xen.tables = false;
    check_errno(run(), "xenforeignmemory_open", ENOENT);
}

static void test_sweep(void)
{
    gnttab_unmap_grant_ref_t ops[3];
    uint64_t bus_addr = fake_xen_bus_addr(DOMID, FIRST_GREF);
    uint32_t first, second, other_page, other_domain, host_map;

    fake_xen_reset();
    other_page = fake_xen_map(true, DOMID, FIRST_GREF + 1);
    other_domain = fake_xen_map(true, DOMID + 1, FIRST_GREF);
    host_map = fake_xen_map(false, DOMID, FIRST_GREF);
    first = fake_xen_map(true, DOMID, FIRST_GREF);
    second = fake_xen_map(true, DOMID, FIRST_GREF);

    /* A range that does not contain the handles of the page. */
    memset(ops, 0xa5, sizeof(ops));
    CHECK(grant_sweep(NULL, ops, 3, bus_addr, 0, first) == 0);
    CHECK(fake_xen.live == 5 && fake_xen.calls == 1);
    CHECK(grant_sweep(NULL, ops, 3, bus_addr, 0, 0) == 0 && fake_xen.calls == 1);

    /* A range of all handles, including unused ones. */
    CHECK(grant_sweep(NULL, ops, 3, bus_addr, 0, 10) == 0);
    CHECK(fake_xen.calls == 5 && fake_xen.largest == 3);
    CHECK(!fake_xen.maptrack[first].live && !fake_xen.maptrack[second].live);
    CHECK(fake_xen.maptrack[other_page].live && fake_xen.maptrack[other_domain].live);
    CHECK(fake_xen.maptrack[host_map].live && fake_xen.live == 3);

    fake_xen.unmap_breaks = 1;
    CHECK(grant_sweep(NULL, ops, 3, bus_addr, 0, 10) == -1 && errno == EFAULT);
}

static void log_message(xentoollog_level level, const char *context, const char *format, ...)
{
    va_list al;

    va_start(al, format);
    last_message_logger()->vmessage(last_message_logger(), level, -1, context, format, al);
    va_end(al);
}

/* Messages of one thread are not visible in another. */
static void *log_in_other_thread(void *arg)
{
    (void)arg;
    CHECK(!strcmp(last_message_take(), ""));
    log_message(XTL_ERROR, "xc", "of another thread");
    CHECK(!strcmp(last_message_take(), "xc: of another thread"));
    return NULL;
}

static void test_last_message(void)
{
    char long_text[2000];
    pthread_t thread;

    CHECK(!strcmp(last_message_take(), ""));
    log_message(XTL_INFO, "xc", "not a warning");
    CHECK(!strcmp(last_message_take(), ""));
    log_message(XTL_WARN, NULL, "first");
    log_message(XTL_ERROR, "xc", "domain %d", 7);
    CHECK(pthread_create(&thread, NULL, log_in_other_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(!strcmp(last_message_take(), "xc: domain 7"));
    CHECK(!strcmp(last_message_take(), ""));

    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    log_message(XTL_ERROR, "xc", "%s", long_text);
    CHECK(!strncmp(last_message_take(), "xc: xxx", 7));
    log_message(XTL_ERROR, long_text, "%s", "does not fit");
    CHECK(strlen(last_message_take()) == 511);

    last_message_logger()->progress(last_message_logger(), "xc", "saving", 50, 1, 2);
    last_message_logger()->destroy(last_message_logger());
    CHECK(!strcmp(last_message_take(), ""));
}

int main(void)
{
    alarm(100);
    test_success(LOOP_HYPERCALL, false, 2 * 22 * BATCH);
    test_success(LOOP_HYPERCALL, true, 2 * 22 * BATCH);
    test_success(LOOP_GNTDEV, false, 2 * 22 * BATCH);
    test_success(LOOP_GNTDEV, true, 2 * 22 * BATCH);
    test_success(LOOP_REFUSED_HYPERCALL, false, 0);
    test_success(LOOP_REFUSED_GNTDEV, false, 0);
    test_success(LOOP_FOREIGN, false, 2 * 22 * BATCH);
    test_success(LOOP_FOREIGN, true, 2 * 22 * BATCH);
    test_success(LOOP_REFUSED_COPY, false, 0);
    test_success(LOOP_REFUSED_GNTDEV_COPY, false, 0);
    test_success(LOOP_REFUSED_FOREIGN, false, 0);
    test_success(LOOP_EMPTY, false, 0);
    for (size_t bytes = 64; bytes <= XENLIB_PAGE_SIZE; bytes += 1344) {
        test_copies(LOOP_COPY, bytes, 0);
        test_copies(LOOP_GNTDEV_COPY, bytes, 0);
        test_copies(LOOP_PERSISTENT, bytes, TARGETS);
    }
    test_touch(LOOP_GNTDEV);
    test_touch(LOOP_FOREIGN);
    test_fast_handles(false);
    test_fast_handles(true);
    test_open_fails(LOOP_HYPERCALL, "xencall_open");
    test_open_fails(LOOP_REFUSED_HYPERCALL, "xencall_open");
    test_open_fails(LOOP_GNTDEV, "xengnttab_open");
    test_open_fails(LOOP_REFUSED_GNTDEV, "xengnttab_open");
    test_open_fails(LOOP_COPY, "xencall_open");
    test_open_fails(LOOP_REFUSED_COPY, "xencall_open");
    test_open_fails(LOOP_GNTDEV_COPY, "xengnttab_open");
    test_open_fails(LOOP_REFUSED_GNTDEV_COPY, "xengnttab_open");
    test_open_fails(LOOP_PERSISTENT, "xengnttab_open");
    test_open_fails(LOOP_FOREIGN, "xenforeignmemory_open");
    test_open_fails(LOOP_REFUSED_FOREIGN, "xenforeignmemory_open");
    test_buffer_allocation_fails(LOOP_HYPERCALL);
    test_buffer_allocation_fails(LOOP_COPY);
    test_rejected_map();
    test_failing_hypercall();
    test_rejected_unmap();
    test_refused_engine_maps();
    test_gntdev();
    test_failing_copies(LOOP_COPY, "GNTTABOP_copy");
    test_failing_copies(LOOP_GNTDEV_COPY, "xengnttab_grant_copy");
    test_lost_writes(LOOP_COPY);
    test_lost_writes(LOOP_GNTDEV_COPY);
    test_refused_copies_succeed();
    test_persistent();
    test_foreign();
    test_sweep();
    test_last_message();
    return 0;
}
