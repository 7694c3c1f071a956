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

bool worker_fails(struct worker *w, enum loop_trouble trouble, const char *call,
                  int code, const struct target *target)
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
    return false;
}

static uint64_t wait_until(uint64_t intended_ns)
{
    uint64_t now = now_ns();

    while (now < intended_ns) {
        uint64_t left = intended_ns - now;

        if (left > 2 * SPIN_NS) {
            struct timespec nap = {
                .tv_sec = (time_t)((left - SPIN_NS) / NS_PER_S),
                .tv_nsec = (long)((left - SPIN_NS) % NS_PER_S),
            };

            nanosleep(&nap, NULL);
        }
        now = now_ns();
    }
    return now;
}

/*
 * One map and one unmap of a batch. The cursor tells whoever cleans up after
 * a kill which references may be mapped: one more than the index of the first
 * of the batch, and 0 when none is.
 */
static bool one_round(struct worker *w, uint64_t intended_ns, bool record)
{
    const struct engine *engine = w->engine;
    uint64_t map_start, map_end, unmap_start, unmap_end;
    bool fine;

    if (w->next + w->loop->batch > w->n_targets)
        w->next = 0;
    engine->prepare(w, w->targets + w->next);
    if (w->cursor)
        *w->cursor = w->next + 1;
    w->next += w->loop->batch;

    if (intended_ns) {
        /* A late start counts as latency: nothing is omitted by waiting. */
        wait_until(intended_ns);
        map_start = intended_ns;
    } else {
        map_start = now_ns();
    }
    fine = engine->map(w);
    map_end = now_ns();

    fine &= engine->check(w);
    unmap_start = now_ns();
    fine &= engine->unmap(w);
    unmap_end = now_ns();
    fine &= engine->settle(w);

    if (!fine)
        return false;
    if (w->cursor)
        *w->cursor = 0;
    if (record) {
        histogram_record(w->map, map_end - map_start);
        histogram_record(w->unmap, unmap_end - unmap_start);
    }
    return true;
}

static bool warm_up(struct worker *w)
{
    for (uint64_t i = 0; i < w->loop->warmup && !w->loop->stop; i++)
        if (!one_round(w, 0, false))
            return false;
    return true;
}

static void measure(struct worker *w)
{
    const struct loop *loop = w->loop;
    uint64_t start = now_ns(), now = start;

    while (!loop->stop && (!loop->rounds || w->rounds < loop->rounds) &&
           (!loop->duration_ns || now - start < loop->duration_ns)) {
        uint64_t intended =
            loop->interval_ns ? start + w->rounds * loop->interval_ns : 0;

        if (!one_round(w, intended, true))
            break;
        w->rounds++;
        if (loop->duration_ns)
            now = now_ns();
    }
    w->elapsed_ns = now_ns() - start;
}

/* All of them measure at the same time, or contention goes unseen. */
static void wait_for_the_others(struct start_line *line, const struct loop *loop)
{
    atomic_fetch_add(&line->arrived, 1);
    while (atomic_load(&line->arrived) < line->expected && !loop->stop)
        sched_yield();
}

static void *work(void *arg)
{
    struct run *run = arg;
    struct worker *w = run->worker;
    bool fine = true;

    if (w->cpu >= 0) {
        cpu_set_t set;
        int rc;

        CPU_ZERO(&set);
        CPU_SET((size_t)w->cpu, &set);
        rc = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
        if (rc)
            fine = worker_fails(w, LOOP_ERRNO, "pthread_setaffinity_np", rc,
                                w->targets);
    }
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
        loop->stop = 1; /* those that started wait for one that never comes */
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(runs);
    free(threads);
    return rc;
}
