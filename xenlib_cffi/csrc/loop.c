#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "loop.h"

#define NS_PER_S 1000000000ull
/* Closer than this, sleeping would overshoot: spin. */
#define SPIN_NS 100000ull
/* The longest nap between two looks at whether to stop. */
#define NAP_NS 100000000ull

static const struct engine *const engines[] = {
    [LOOP_HYPERCALL] = &hypercall_engine,
    [LOOP_GNTDEV] = &gntdev_engine,
    [LOOP_REFUSED_HYPERCALL] = &refused_hypercall_engine,
    [LOOP_REFUSED_GNTDEV] = &refused_gntdev_engine,
};

/* What the workers of one run share: how many have warmed up. */
struct start_line {
    atomic_size_t arrived;
    size_t expected;
};

struct run {
    struct worker *worker;
    struct start_line *line;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/*
 * `stop`, `rounds` and the cursors are shared with threads that are not ours,
 * Python's among them: plain fields to those, atomic here. Nothing else hangs
 * on their order.
 */
static bool stopped(const struct loop *loop)
{
    return __atomic_load_n(&loop->stop, __ATOMIC_RELAXED);
}

static void stop(struct loop *loop)
{
    __atomic_store_n(&loop->stop, 1, __ATOMIC_RELAXED);
}

/*
 * The cursor tells whoever cleans up after a kill which references may be
 * mapped: one more than the index of the first of the batch, and 0 when none is.
 */
static void set_cursor(struct worker *w, uint64_t cursor)
{
    if (w->cursor)
        __atomic_store_n(w->cursor, cursor, __ATOMIC_RELAXED);
}

bool worker_fails(struct worker *w, enum loop_trouble trouble, const char *call, int code,
                  const struct target *target)
{
    /* The first failure is the cause; what follows it is the clearing up. */
    if (w->failure.trouble != LOOP_FINE)
        return false;
    w->failure = (struct loop_failure){
        .trouble = trouble,
        .call = call,
        .errnum = trouble == LOOP_ERRNO ? code : 0,
        .status = trouble == LOOP_STATUS ? code : 0,
        .domid = target->domid,
        .gref = target->gref,
    };
    /* What the others still measured, nobody would be told. */
    stop(w->loop);
    return false;
}

/* False when told to stop before then. */
static bool wait_until(const struct loop *loop, uint64_t intended_ns)
{
    for (uint64_t now = now_ns(); now < intended_ns; now = now_ns()) {
        uint64_t left = intended_ns - now;

        if (stopped(loop))
            return false;
        if (left > 2 * SPIN_NS) {
            uint64_t nap_ns = left - SPIN_NS < NAP_NS ? left - SPIN_NS : NAP_NS;
            struct timespec nap = { .tv_nsec = (long)nap_ns };

            nanosleep(&nap, NULL);
        }
    }
    return true;
}

/* One map and one unmap of a batch; false when it failed, or was not begun. */
static bool one_round(struct worker *w, uint64_t intended_ns, bool record)
{
    const struct engine *engine = w->engine;
    uint64_t map_start, map_end, unmap_start, unmap_end;
    bool fine;

    if (w->next + w->loop->batch > w->n_targets)
        w->next = 0;
    engine->prepare(w, w->targets + w->next);
    if (intended_ns && !wait_until(w->loop, intended_ns))
        return false;
    set_cursor(w, w->next + 1);
    w->next += w->loop->batch;

    /* A late start counts as latency: nothing is omitted by waiting. */
    map_start = intended_ns ? intended_ns : now_ns();
    fine = engine->map(w);
    map_end = now_ns();

    fine &= engine->check(w);
    unmap_start = now_ns();
    fine &= engine->unmap(w);
    unmap_end = now_ns();
    fine &= engine->settle(w);

    if (!fine)
        return false;
    set_cursor(w, 0);
    if (record) {
        histogram_record(w->map, map_end - map_start);
        histogram_record(w->unmap, unmap_end - unmap_start);
    }
    return true;
}

static bool warm_up(struct worker *w)
{
    for (uint64_t i = 0; i < w->loop->warmup && !stopped(w->loop); i++)
        if (!one_round(w, 0, false))
            return false;
    return true;
}

static void measure(struct worker *w)
{
    const struct loop *loop = w->loop;
    uint64_t start = now_ns(), now = start, due = 0;

    while (!stopped(loop) && (!loop->rounds || w->rounds < loop->rounds)) {
        if (loop->interval_ns)
            due = start + w->rounds * loop->interval_ns;
        if (loop->duration_ns && (due > now ? due : now) - start >= loop->duration_ns)
            break;
        if (!one_round(w, due, true))
            break;
        __atomic_store_n(&w->rounds, w->rounds + 1, __ATOMIC_RELAXED);
        if (loop->duration_ns)
            now = now_ns();
    }
    w->elapsed_ns = now_ns() - start;
    /* At a rate, the last round has its whole interval like all others. */
    if (w->elapsed_ns < w->rounds * loop->interval_ns)
        w->elapsed_ns = w->rounds * loop->interval_ns;
}

/* All of them measure at the same time, or contention goes unseen. */
static void wait_for_the_others(struct start_line *line, const struct loop *loop)
{
    atomic_fetch_add(&line->arrived, 1);
    while (atomic_load(&line->arrived) < line->expected && !stopped(loop))
        sched_yield();
}

static bool settle_in(struct worker *w)
{
    /*
     * A file table of its own: in one that threads share, Linux counts every
     * system call's file in and out, some 60 instructions that are the
     * instrument's and would grow with the threads.
     */
    if (unshare(CLONE_FILES))
        return worker_fails(w, LOOP_ERRNO, "unshare", errno, w->targets);
    if (w->cpu >= 0) {
        cpu_set_t set;
        int rc;

        CPU_ZERO(&set);
        CPU_SET((size_t)w->cpu, &set);
        rc = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
        if (rc)
            return worker_fails(w, LOOP_ERRNO, "pthread_setaffinity_np", rc, w->targets);
    }
    return true;
}

static void *work(void *arg)
{
    struct run *run = arg;
    struct worker *w = run->worker;
    bool fine = settle_in(w);

    fine = fine && w->engine->open(w) && warm_up(w);
    wait_for_the_others(run->line, w->loop);
    if (fine)
        measure(w);
    w->engine->close(w);
    return NULL;
}

int loop_run(struct loop *loop)
{
    struct start_line line = { .expected = loop->n_workers };
    pthread_t *threads = calloc(loop->n_workers, sizeof(*threads));
    struct run *runs = calloc(loop->n_workers, sizeof(*runs));
    size_t started = 0;
    int rc = threads && runs ? 0 : ENOMEM;

    while (!rc && started < loop->n_workers) {
        struct worker *w = &loop->workers[started];

        w->loop = loop;
        w->engine = engines[loop->engine];
        runs[started] = (struct run){ .worker = w, .line = &line };
        rc = pthread_create(&threads[started], NULL, work, &runs[started]);
        if (!rc)
            started++;
    }
    if (rc)
        stop(loop); /* those that started wait for one that never comes */
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(runs);
    free(threads);
    return rc;
}
