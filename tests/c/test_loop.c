/*
 * The timed loop with an engine that maps nothing and fails where it is told to: what is run how
 * often, what is recorded, what the cursor says, and that nobody waits for one who never comes.
 * For AddressSanitizer and UBSan to watch, and for ThreadSanitizer.
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

enum step { NOWHERE, OPEN, MAP, CHECKING, UNMAP, SETTLE };

/* What the engine is to do, and what it saw. */
static struct {
    enum step fails_in, fails_also_in;
    size_t fails_worker;
    uint64_t fails_round; /* of that worker, the warm-up's counted; from 0 */
    uint64_t slow_round;  /* one whose map takes slow_ns */
    uint64_t slow_ns;
    struct {
        enum loop_engine used;
        atomic_uint_fast64_t maps;
        uint64_t unmaps, opened, closed, first_seen[64];
        int64_t live;
        int cpu;
        struct timespec map_times[64];
    } seen[WORKERS];
} fake;

static struct target targets[TARGETS];
static struct worker workers[WORKERS];
static uint64_t cursors[WORKERS];
static struct loop loop;

static size_t number(const struct worker *w)
{
    return (size_t)(w - w->loop->workers);
}

static bool step(struct worker *w, enum step at, const char *call)
{
    size_t me = number(w);
    uint64_t rounds = fake.seen[me].unmaps + (fake.seen[me].live != 0);

    if (me != fake.fails_worker || (at != fake.fails_in && at != fake.fails_also_in))
        return true;
    /* Counted up by now, but for settle: it comes after unmap. */
    if (at != OPEN && rounds - 1 != fake.fails_round)
        return true;
    return worker_fails(w, LOOP_STATUS, call, -(int)at, &targets[me]);
}

static bool open_as(struct worker *w, enum loop_engine engine)
{
    fake.seen[number(w)].used = engine;
    fake.seen[number(w)].opened++;
    return step(w, OPEN, "open");
}

static void close_it(struct worker *w)
{
    fake.seen[number(w)].closed++;
}

static void prepare(struct worker *w, const struct target *batch)
{
    CHECK(batch >= w->targets && batch + w->loop->batch <= w->targets + w->n_targets);
    CHECK(fake.seen[number(w)].live == 0);
    w->state = (void *)batch;
}

static bool map(struct worker *w)
{
    size_t me = number(w);
    uint64_t round = fake.seen[me].maps;
    size_t first = (size_t)((const struct target *)w->state - w->targets);

    CHECK(!w->cursor || *w->cursor == first + 1);
    if (round < 64) {
        fake.seen[me].first_seen[round] = first;
        clock_gettime(CLOCK_MONOTONIC_RAW, &fake.seen[me].map_times[round]);
    }
    /* Nobody measures while another still warms up. */
    if (round >= w->loop->warmup && fake.fails_in == NOWHERE)
        for (size_t i = 0; i < w->loop->n_workers; i++)
            CHECK(fake.seen[i].maps >= w->loop->warmup);
    fake.seen[me].maps++;
    fake.seen[me].live++;
    fake.seen[me].cpu = sched_getcpu();
    if (fake.slow_ns && round == fake.slow_round)
        nanosleep(&(struct timespec){ .tv_nsec = (long)fake.slow_ns }, NULL);
    return step(w, MAP, "map");
}

static bool check_it(struct worker *w)
{
    CHECK(fake.seen[number(w)].live == 1);
    return step(w, CHECKING, "check");
}

static bool unmap(struct worker *w)
{
    bool fine = step(w, UNMAP, "unmap");

    fake.seen[number(w)].live--;
    fake.seen[number(w)].unmaps++;
    return fine;
}

static bool settle(struct worker *w)
{
    return step(w, SETTLE, "settle");
}

#define ENGINE(name, which) \
    static bool open_##name(struct worker *w) \
    { \
        return open_as(w, which); \
    } \
    const struct engine name = { \
        .open = open_##name, \
        .close = close_it, \
        .prepare = prepare, \
        .map = map, \
        .check = check_it, \
        .unmap = unmap, \
        .settle = settle, \
    }

ENGINE(hypercall_engine, LOOP_HYPERCALL);
ENGINE(gntdev_engine, LOOP_GNTDEV);
ENGINE(refused_hypercall_engine, LOOP_REFUSED_HYPERCALL);
ENGINE(refused_gntdev_engine, LOOP_REFUSED_GNTDEV);

static void lay_out(size_t n_workers, size_t batch)
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
            .map = histogram_new(3600 * 1000 * MS, 3),
            .unmap = histogram_new(3600 * 1000 * MS, 3),
        };
    loop = (struct loop){ .workers = workers, .n_workers = n_workers, .batch = batch };
}

static void clear_away(void)
{
    for (size_t i = 0; i < loop.n_workers; i++) {
        CHECK(fake.seen[i].closed == 1);
        CHECK(fake.seen[i].live == 0 && fake.seen[i].unmaps == fake.seen[i].maps);
        histogram_free(workers[i].map);
        histogram_free(workers[i].unmap);
    }
}

static uint64_t between(struct timespec a, struct timespec b)
{
    return (uint64_t)(b.tv_sec - a.tv_sec) * 1000 * MS + (uint64_t)b.tv_nsec - (uint64_t)a.tv_nsec;
}

static void test_rounds_and_warm_up(size_t batch, uint64_t wraps_after)
{
    lay_out(WORKERS, batch);
    loop.warmup = 5;
    loop.rounds = 40;
    CHECK(loop_run(&loop) == 0);
    for (size_t i = 0; i < WORKERS; i++) {
        CHECK(workers[i].failure.trouble == LOOP_FINE);
        CHECK(workers[i].rounds == 40 && workers[i].elapsed_ns > 0);
        CHECK(fake.seen[i].maps == 45);
        CHECK(workers[i].map->total == 40 && workers[i].unmap->total == 40);
        CHECK(cursors[i] == 0);
        for (uint64_t round = 0; round < 45; round++)
            CHECK(fake.seen[i].first_seen[round] == round % wraps_after * batch);
    }
    clear_away();
}

static void test_engines(void)
{
    for (int engine = LOOP_HYPERCALL; engine <= LOOP_REFUSED_GNTDEV; engine++) {
        lay_out(1, 1);
        loop.engine = (enum loop_engine)engine;
        loop.rounds = 1;
        CHECK(loop_run(&loop) == 0 && fake.seen[0].used == loop.engine);
        clear_away();
    }
}

static void test_duration(void)
{
    lay_out(2, 4);
    loop.duration_ns = 30 * MS;
    CHECK(loop_run(&loop) == 0);
    for (size_t i = 0; i < 2; i++) {
        CHECK(workers[i].elapsed_ns >= 30 * MS);
        CHECK(workers[i].rounds > 1 && workers[i].map->total == (int64_t)workers[i].rounds);
    }
    clear_away();
}

/* A watcher: stops the loop once every worker has done so many rounds. */
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
        CHECK(workers[i].failure.trouble == LOOP_FINE);
        CHECK(workers[i].rounds >= rounds);
        CHECK(workers[i].map->total == (int64_t)workers[i].rounds);
        CHECK(cursors[i] == 0);
    }
}

static void test_stop(void)
{
    lay_out(WORKERS, 3);
    run_and_stop_after(100);
    clear_away();

    /* Also one that waits an hour for its next round. */
    lay_out(1, 3);
    loop.interval_ns = 3600 * 1000 * MS;
    run_and_stop_after(1);
    CHECK(workers[0].rounds == 1 && fake.seen[0].maps == 1);
    clear_away();

    /* And one that is told before it begins. */
    lay_out(2, 3);
    loop.warmup = loop.rounds = 1000;
    loop.stop = 1;
    CHECK(loop_run(&loop) == 0);
    CHECK(fake.seen[0].maps == 0 && fake.seen[1].maps == 0);
    clear_away();
}

/* The others would go on for ever: that one failed must end them, wherever they are. */
static void test_failure(enum step at, enum step also, size_t who, uint64_t round, const char *call)
{
    lay_out(WORKERS, 4);
    loop.warmup = 20;
    fake.fails_in = at;
    fake.fails_also_in = also;
    fake.fails_worker = who;
    fake.fails_round = round;
    CHECK(loop_run(&loop) == 0);
    for (size_t i = 0; i < WORKERS; i++) {
        const struct loop_failure *failure = &workers[i].failure;

        if (i != who) {
            CHECK(failure->trouble == LOOP_FINE && cursors[i] == 0);
            continue;
        }
        CHECK(failure->trouble == LOOP_STATUS && !strcmp(failure->call, call));
        CHECK(failure->status == -(int)at && failure->errnum == 0);
        CHECK(failure->domid == 7 && failure->gref == 100 + who);
        CHECK(fake.seen[i].maps == (at == OPEN ? 0 : round + 1));
        CHECK(workers[i].rounds == (round > 20 ? round - 20 : 0));
        CHECK(workers[i].map->total == (int64_t)workers[i].rounds);
        CHECK(cursors[i] == (at == OPEN ? 0 : round % 2 * 4 + 1));
    }
    clear_away();
}

static void test_failures(void)
{
    for (size_t who = 0; who < WORKERS; who++) {
        test_failure(OPEN, NOWHERE, who, 0, "open");
        for (uint64_t round = 3; round < 40; round += 30) { /* warming up, and measuring */
            test_failure(MAP, NOWHERE, who, round, "map");
            test_failure(CHECKING, NOWHERE, who, round, "check");
            test_failure(UNMAP, NOWHERE, who, round, "unmap");
            test_failure(SETTLE, NOWHERE, who, round, "settle");
            test_failure(MAP, UNMAP, who, round, "map");
            test_failure(CHECKING, SETTLE, who, round, "check");
        }
    }
}

static void test_rate(void)
{
    int64_t late = 0;

    lay_out(1, 1);
    loop.interval_ns = 2 * MS;
    loop.rounds = 30;
    fake.slow_round = 5;
    fake.slow_ns = 20 * MS;
    CHECK(loop_run(&loop) == 0);
    CHECK(workers[0].map->total == 30);
    CHECK(workers[0].elapsed_ns >= 60 * MS);
    /* Nothing before it was due: the slow round is caught up with, and no more. */
    CHECK(between(fake.seen[0].map_times[0], fake.seen[0].map_times[29]) >= 50 * MS);
    /* It took 20 ms, and those that waited for it, due 2 ms apart, 18 ms, 16 ms, ... */
    for (size_t i = 0; i < workers[0].map->length; i++)
        if (histogram_lowest_at(workers[0].map, i) >= 3 * MS)
            late += workers[0].map->counts[i];
    CHECK(late >= 9);
    CHECK(workers[0].map->max >= 20 * MS);
    clear_away();
}

static void test_rate_within_a_duration(void)
{
    lay_out(1, 1);
    loop.interval_ns = 3600 * 1000 * MS;
    loop.duration_ns = 5 * MS;
    CHECK(loop_run(&loop) == 0);
    CHECK(workers[0].rounds == 1 && workers[0].elapsed_ns == loop.interval_ns);
    clear_away();
}

static void test_pinning(void)
{
    cpu_set_t allowed;
    int cpu = CPU_SETSIZE - 1;

    CHECK(sched_getaffinity(0, sizeof(allowed), &allowed) == 0);
    while (!CPU_ISSET(cpu, &allowed))
        cpu--;
    lay_out(1, 1);
    workers[0].cpu = cpu;
    loop.rounds = 10;
    CHECK(loop_run(&loop) == 0);
    CHECK(workers[0].rounds == 10 && fake.seen[0].cpu == cpu);
    clear_away();

    lay_out(2, 1);
    workers[1].cpu = 100000;
    CHECK(loop_run(&loop) == 0);
    CHECK(workers[1].failure.trouble == LOOP_ERRNO && workers[1].failure.errnum == EINVAL);
    CHECK(!strcmp(workers[1].failure.call, "pthread_setaffinity_np"));
    CHECK(fake.seen[1].opened == 0 && workers[0].failure.trouble == LOOP_FINE);
    clear_away();
}

int main(void)
{
    alarm(100);                    /* a loop that hangs is one that failed */
    test_rounds_and_warm_up(4, 2); /* 10 targets: 0-3, 4-7, and again from 0 */
    test_rounds_and_warm_up(3, 3);
    test_rounds_and_warm_up(10, 1);
    test_rounds_and_warm_up(1, 10);
    test_engines();
    test_duration();
    test_stop();
    test_failures();
    test_rate();
    test_rate_within_a_duration();
    test_pinning();
    return 0;
}
