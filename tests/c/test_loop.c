/*
 * Tests of the timed loop with a fake engine that maps nothing and fails at a given step: the
 * number of rounds, the recorded values, the cursors, and that no worker waits forever. They run
 * under AddressSanitizer and UBSan, and under ThreadSanitizer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "loop.h"

#define MS 1000000ull
#define WORKERS 3
#define TARGETS 10

enum step { NO_STEP, OPEN, MAP, CHECK_MAP, UNMAP, CHECK_UNMAP };

/* The injected failures and delays, and what the engine records of each worker. */
static struct {
    enum step failing_step, second_failing_step;
    size_t failing_worker;
    uint64_t failing_round; /* of that worker, from 0, including the warm-up */
    uint64_t slow_round;    /* round whose map takes slow_ns */
    uint64_t slow_ns;
    struct {
        enum loop_engine engine;
        atomic_uint_fast64_t maps;
        uint64_t touches, checks, unmaps, opened, closed, first_targets[64];
        int64_t live;
        int cpu;
        struct timespec map_times[64];
    } records[WORKERS];
} fake;

static struct target targets[TARGETS];
static struct worker workers[WORKERS];
static uint64_t cursors[WORKERS];
static struct loop loop;

static size_t index_of(const struct worker *w)
{
    return (size_t)(w - w->loop->workers);
}

/* Fails if a failure is injected in this step. */
static bool run_step(struct worker *w, enum step step, const char *call)
{
    size_t me = index_of(w);
    /* Number of the current round, from 1. */
    uint64_t rounds = fake.records[me].unmaps + (fake.records[me].live != 0);

    if (me != fake.failing_worker ||
        (step != fake.failing_step && step != fake.second_failing_step))
        return true;
    if (step != OPEN && rounds - 1 != fake.failing_round)
        return true;
    return worker_fail(w, LOOP_STATUS, call, -(int)step, &targets[me]);
}

static bool open_engine(struct worker *w, enum loop_engine engine)
{
    fake.records[index_of(w)].engine = engine;
    fake.records[index_of(w)].opened++;
    return run_step(w, OPEN, "open");
}

static void close_engine(struct worker *w)
{
    fake.records[index_of(w)].closed++;
}

static void prepare(struct worker *w, const struct target *batch)
{
    CHECK(batch >= w->targets && batch + w->loop->batch <= w->targets + w->n_targets);
    CHECK(fake.records[index_of(w)].live == 0);
    w->state = (void *)batch;
}

static bool map(struct worker *w)
{
    size_t me = index_of(w);
    uint64_t round = fake.records[me].maps;
    size_t first = (size_t)((const struct target *)w->state - w->targets);

    CHECK(!w->cursor || *w->cursor == first + 1);
    if (round < 64) {
        fake.records[me].first_targets[round] = first;
        clock_gettime(CLOCK_MONOTONIC_RAW, &fake.records[me].map_times[round]);
    }
    /* No worker measures while another one still warms up. */
    if (round >= w->loop->warmup && fake.failing_step == NO_STEP)
        for (size_t i = 0; i < w->loop->n_workers; i++)
            CHECK(fake.records[i].maps >= w->loop->warmup);
    fake.records[me].maps++;
    fake.records[me].live++;
    fake.records[me].cpu = sched_getcpu();
    if (fake.slow_ns && round == fake.slow_round)
        nanosleep(&(struct timespec){ .tv_nsec = (long)fake.slow_ns }, NULL);
    return run_step(w, MAP, "map");
}

/* The loop touches what has been mapped, and checks it afterwards. */
static void touch(struct worker *w)
{
    size_t me = index_of(w);

    CHECK(w->loop->touch != TOUCH_NONE && fake.records[me].live == 1);
    CHECK(fake.records[me].touches++ == fake.records[me].checks);
}

static bool check_map(struct worker *w)
{
    fake.records[index_of(w)].checks++;
    CHECK(fake.records[index_of(w)].live == 1);
    return run_step(w, CHECK_MAP, "check_map");
}

static bool unmap(struct worker *w)
{
    bool ok = run_step(w, UNMAP, "unmap");

    fake.records[index_of(w)].live--;
    fake.records[index_of(w)].unmaps++;
    return ok;
}

static bool check_unmap(struct worker *w)
{
    return run_step(w, CHECK_UNMAP, "check_unmap");
}

#define ENGINE(name, which) \
    static bool open_##name(struct worker *w) \
    { \
        return open_engine(w, which); \
    } \
    const struct engine name = { \
        .open = open_##name, \
        .close = close_engine, \
        .prepare = prepare, \
        .first = map, \
        .touch = touch, \
        .check_first = check_map, \
        .second = unmap, \
        .check_second = check_unmap, \
    }

ENGINE(hypercall_engine, LOOP_HYPERCALL);
ENGINE(gntdev_engine, LOOP_GNTDEV);
ENGINE(copy_engine, LOOP_COPY);
ENGINE(gntdev_copy_engine, LOOP_GNTDEV_COPY);
ENGINE(persistent_engine, LOOP_PERSISTENT);
ENGINE(foreign_engine, LOOP_FOREIGN);
ENGINE(refused_hypercall_engine, LOOP_REFUSED_HYPERCALL);
ENGINE(refused_gntdev_engine, LOOP_REFUSED_GNTDEV);
ENGINE(refused_copy_engine, LOOP_REFUSED_COPY);
ENGINE(refused_gntdev_copy_engine, LOOP_REFUSED_GNTDEV_COPY);
ENGINE(refused_foreign_engine, LOOP_REFUSED_FOREIGN);
ENGINE(empty_engine, LOOP_EMPTY);

static void set_up(size_t n_workers, size_t batch)
{
    memset(&fake, 0, sizeof(fake));
    memset(cursors, 0, sizeof(cursors));
    for (size_t i = 0; i < TARGETS; i++)
        targets[i] = (struct target){ .domid = 7, .gref = (uint32_t)(100 + i) };
    for (size_t i = 0; i < n_workers; i++)
        workers[i] = (struct worker){
            .cpu = -1,
            .targets = targets,
            .n_targets = TARGETS,
            .cursor = &cursors[i],
            .first = histogram_new(3600 * 1000 * MS, 3),
            .touch = histogram_new(3600 * 1000 * MS, 3),
            .second = histogram_new(3600 * 1000 * MS, 3),
        };
    loop = (struct loop){ .workers = workers, .n_workers = n_workers, .batch = batch };
}

static void tear_down(void)
{
    for (size_t i = 0; i < loop.n_workers; i++) {
        CHECK(fake.records[i].closed == 1);
        CHECK(fake.records[i].live == 0 && fake.records[i].unmaps == fake.records[i].maps);
        histogram_free(workers[i].first);
        histogram_free(workers[i].touch);
        histogram_free(workers[i].second);
    }
}

static uint64_t ns_between(struct timespec a, struct timespec b)
{
    return (uint64_t)(b.tv_sec - a.tv_sec) * 1000 * MS + (uint64_t)b.tv_nsec - (uint64_t)a.tv_nsec;
}

static void test_rounds_and_warm_up(size_t batch, uint64_t batches)
{
    set_up(WORKERS, batch);
    loop.warmup = 5;
    loop.rounds = 40;
    CHECK(loop_run(&loop) == 0);
    for (size_t i = 0; i < WORKERS; i++) {
        CHECK(workers[i].failure.error == LOOP_OK);
        CHECK(workers[i].rounds == 40 && workers[i].elapsed_ns > 0);
        CHECK(fake.records[i].maps == 45);
        CHECK(workers[i].first->total == 40 && workers[i].second->total == 40);
        CHECK(cursors[i] == 0);
        for (uint64_t round = 0; round < 45; round++)
            CHECK(fake.records[i].first_targets[round] == round % batches * batch);
    }
    tear_down();
}

static void test_engines(void)
{
    for (int engine = LOOP_HYPERCALL; engine <= LOOP_EMPTY; engine++) {
        set_up(1, 1);
        loop.engine = (enum loop_engine)engine;
        loop.rounds = 1;
        CHECK(loop_run(&loop) == 0 && fake.records[0].engine == loop.engine);
        tear_down();
    }
}

static void test_touch(void)
{
    set_up(WORKERS, 2);
    loop.touch = TOUCH_READ;
    loop.warmup = 5;
    loop.rounds = 40;
    CHECK(loop_run(&loop) == 0);
    for (size_t i = 0; i < WORKERS; i++) {
        CHECK(fake.records[i].touches == 45 && workers[i].touch->total == 40);
        CHECK(workers[i].first->total == 40 && workers[i].second->total == 40);
    }
    tear_down();

    /* Nothing was mapped. */
    set_up(1, 2);
    loop.touch = TOUCH_READ;
    loop.rounds = 40;
    fake.failing_step = MAP;
    CHECK(loop_run(&loop) == 0);
    CHECK(workers[0].failure.error == LOOP_STATUS && fake.records[0].touches == 0);
    tear_down();

    /* Pages are checked before they are written: they may belong to somebody else. */
    set_up(1, 2);
    loop.touch = TOUCH_WRITE;
    loop.rounds = 40;
    fake.failing_step = CHECK_MAP;
    CHECK(loop_run(&loop) == 0);
    CHECK(workers[0].failure.error == LOOP_STATUS && fake.records[0].touches == 0);
    tear_down();

    /* Without TOUCH_*, an engine's pages are not touched: touch() checks it. */
    set_up(1, 2);
    loop.rounds = 40;
    CHECK(loop_run(&loop) == 0);
    CHECK(workers[0].touch->total == 0);
    tear_down();
}

static void test_duration(void)
{
    set_up(2, 4);
    loop.duration_ns = 30 * MS;
    CHECK(loop_run(&loop) == 0);
    for (size_t i = 0; i < 2; i++) {
        CHECK(workers[i].elapsed_ns >= 30 * MS);
        CHECK(workers[i].rounds > 1 && workers[i].first->total == (int64_t)workers[i].rounds);
    }
    tear_down();
}

/* A thread that stops the loop after every worker has recorded a number of rounds. */
static void *stop_after(void *arg)
{
    uint64_t rounds = *(uint64_t *)arg;

    for (size_t i = 0; i < loop.n_workers; i++)
        while (__atomic_load_n(&workers[i].rounds, __ATOMIC_RELAXED) < rounds)
            sched_yield();
    __atomic_store_n(&loop.stop, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void run_and_stop_after(uint64_t rounds)
{
    pthread_t watcher;

    CHECK(pthread_create(&watcher, NULL, stop_after, &rounds) == 0);
    CHECK(loop_run(&loop) == 0);
    CHECK(pthread_join(watcher, NULL) == 0);
    for (size_t i = 0; i < loop.n_workers; i++) {
        CHECK(workers[i].failure.error == LOOP_OK);
        CHECK(workers[i].rounds >= rounds);
        CHECK(workers[i].first->total == (int64_t)workers[i].rounds);
        CHECK(cursors[i] == 0);
    }
}

static void test_stop(void)
{
    set_up(WORKERS, 3);
    run_and_stop_after(100);
    tear_down();

    /* A worker that waits an hour for its next round. */
    set_up(1, 3);
    loop.interval_ns = 3600 * 1000 * MS;
    run_and_stop_after(1);
    CHECK(workers[0].rounds == 1 && fake.records[0].maps == 1);
    tear_down();

    /* A loop that is stopped before it begins. */
    set_up(2, 3);
    loop.warmup = loop.rounds = 1000;
    loop.stop = 1;
    CHECK(loop_run(&loop) == 0);
    CHECK(fake.records[0].maps == 0 && fake.records[1].maps == 0);
    tear_down();
}

/* A failure of one worker must stop the others, which have no limit. */
static void test_failure(enum step step, enum step second_step, size_t failing, uint64_t round,
                         const char *call)
{
    set_up(WORKERS, 4);
    loop.warmup = 20;
    fake.failing_step = step;
    fake.second_failing_step = second_step;
    fake.failing_worker = failing;
    fake.failing_round = round;
    CHECK(loop_run(&loop) == 0);
    for (size_t i = 0; i < WORKERS; i++) {
        const struct loop_failure *failure = &workers[i].failure;

        if (i != failing) {
            CHECK(failure->error == LOOP_OK && cursors[i] == 0);
            continue;
        }
        CHECK(failure->error == LOOP_STATUS && !strcmp(failure->call, call));
        CHECK(failure->status == -(int)step && failure->errnum == 0);
        CHECK(failure->domid == 7 && failure->gref == 100 + failing);
        CHECK(fake.records[i].maps == (step == OPEN ? 0 : round + 1));
        CHECK(workers[i].rounds == (round > 20 ? round - 20 : 0));
        CHECK(workers[i].first->total == (int64_t)workers[i].rounds);
        CHECK(cursors[i] == (step == OPEN ? 0 : round % 2 * 4 + 1));
    }
    tear_down();
}

static void test_failures(void)
{
    for (size_t failing = 0; failing < WORKERS; failing++) {
        test_failure(OPEN, NO_STEP, failing, 0, "open");
        for (uint64_t round = 3; round < 40; round += 30) { /* in the warm-up and later */
            test_failure(MAP, NO_STEP, failing, round, "map");
            test_failure(CHECK_MAP, NO_STEP, failing, round, "check_map");
            test_failure(UNMAP, NO_STEP, failing, round, "unmap");
            test_failure(CHECK_UNMAP, NO_STEP, failing, round, "check_unmap");
            test_failure(MAP, UNMAP, failing, round, "map");
            test_failure(CHECK_MAP, CHECK_UNMAP, failing, round, "check_map");
        }
    }
}

static void test_rate(void)
{
    int64_t late = 0;

    set_up(1, 1);
    loop.interval_ns = 2 * MS;
    loop.rounds = 30;
    fake.slow_round = 5;
    fake.slow_ns = 20 * MS;
    CHECK(loop_run(&loop) == 0);
    CHECK(workers[0].first->total == 30);
    CHECK(workers[0].elapsed_ns >= 60 * MS);
    /* No round starts before it is due: the loop only catches up after the slow round. */
    CHECK(ns_between(fake.records[0].map_times[0], fake.records[0].map_times[29]) >= 50 * MS);
    /* The slow round took 20 ms, the rounds due in the meantime 18 ms, 16 ms and so on. */
    for (size_t i = 0; i < workers[0].first->length; i++)
        if (histogram_lowest_at(workers[0].first, i) >= 3 * MS)
            late += workers[0].first->counts[i];
    CHECK(late >= 9);
    CHECK(workers[0].first->max >= 20 * MS);
    tear_down();
}

static void test_rate_within_a_duration(void)
{
    set_up(1, 1);
    loop.interval_ns = 3600 * 1000 * MS;
    loop.duration_ns = 5 * MS;
    CHECK(loop_run(&loop) == 0);
    CHECK(workers[0].rounds == 1 && workers[0].elapsed_ns == loop.interval_ns);
    tear_down();
}

static void test_pinning(void)
{
    cpu_set_t allowed;
    int cpu = CPU_SETSIZE - 1;

    CHECK(sched_getaffinity(0, sizeof(allowed), &allowed) == 0);
    while (!CPU_ISSET(cpu, &allowed))
        cpu--;
    set_up(1, 1);
    workers[0].cpu = cpu;
    loop.rounds = 10;
    CHECK(loop_run(&loop) == 0);
    CHECK(workers[0].rounds == 10 && fake.records[0].cpu == cpu);
    tear_down();

    set_up(2, 1);
    workers[1].cpu = 100000;
    CHECK(loop_run(&loop) == 0);
    CHECK(workers[1].failure.error == LOOP_ERRNO && workers[1].failure.errnum == EINVAL);
    CHECK(!strcmp(workers[1].failure.call, "pthread_setaffinity_np"));
    CHECK(fake.records[1].opened == 0 && workers[0].failure.error == LOOP_OK);
    tear_down();
}

int main(void)
{
    alarm(100);                    /* fail if the loop hangs */
    test_rounds_and_warm_up(4, 2); /* 10 targets: the batches are 0-3 and 4-7 */
    test_rounds_and_warm_up(3, 3);
    test_rounds_and_warm_up(10, 1);
    test_rounds_and_warm_up(1, 10);
    test_engines();
    test_touch();
    test_duration();
    test_stop();
    test_failures();
    test_rate();
    test_rate_within_a_duration();
    test_pinning();
    return 0;
}
