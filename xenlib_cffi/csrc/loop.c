#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "loop.h"

#define NS_PER_S 1000000000ull
/* Remaining time below which a worker spins, because a sleep would end too late. */
#define SPIN_NS 100000ull
/* Longest sleep between two checks of the stop flag. */
#define SLEEP_NS 100000000ull

static const struct engine *const engines[] = {
    [LOOP_HYPERCALL] = &hypercall_engine,
    [LOOP_GNTDEV] = &gntdev_engine,
    [LOOP_COPY] = &copy_engine,
    [LOOP_GNTDEV_COPY] = &gntdev_copy_engine,
    [LOOP_PERSISTENT] = &persistent_engine,
    [LOOP_FOREIGN] = &foreign_engine,
    [LOOP_REFUSED_HYPERCALL] = &refused_hypercall_engine,
    [LOOP_REFUSED_GNTDEV] = &refused_gntdev_engine,
    [LOOP_REFUSED_COPY] = &refused_copy_engine,
    [LOOP_REFUSED_GNTDEV_COPY] = &refused_gntdev_copy_engine,
    [LOOP_REFUSED_FOREIGN] = &refused_foreign_engine,
    [LOOP_EMPTY] = &empty_engine,
};

/* Makes all workers of a run start to measure at the same time. */
struct start_barrier {
    atomic_size_t arrived;
    size_t expected;
};

struct thread_args {
    struct worker *worker;
    struct start_barrier *barrier;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/*
 * Other threads, Python's among them, access `stop`, `rounds` and the cursors as plain fields.
 * Here they are accessed atomically; no other data depends on their order.
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
 * After a kill, the cursor of a worker says which references may still be mapped: it is 1 plus the
 * index of the first target of the current batch, or 0 if no batch is mapped.
 */
static void set_cursor(struct worker *w, uint64_t cursor)
{
    if (w->cursor)
        __atomic_store_n(w->cursor, cursor, __ATOMIC_RELAXED);
}

bool worker_fail(struct worker *w, enum loop_error error, const char *call, int code,
                 const struct target *target)
{
    /* Later failures of the round are consequences of the first one. */
    if (w->failure.error != LOOP_OK)
        return false;
    w->failure = (struct loop_failure){
        .error = error,
        .call = call,
        .errnum = error == LOOP_ERRNO ? code : 0,
        .status = error == LOOP_STATUS ? code : 0,
        .domid = target->domid,
        .gref = target->gref,
    };
    /* The results of a failed run are discarded: the other workers need not go on. */
    stop(w->loop);
    return false;
}

/* Waits until a CLOCK_MONOTONIC_RAW time; false if the loop was stopped before. */
static bool wait_until(const struct loop *loop, uint64_t intended_ns)
{
    for (uint64_t now = now_ns(); now < intended_ns; now = now_ns()) {
        uint64_t remaining = intended_ns - now;

        if (stopped(loop))
            return false;
        if (remaining > 2 * SPIN_NS) {
            uint64_t sleep_ns = remaining - SPIN_NS < SLEEP_NS ? remaining - SPIN_NS : SLEEP_NS;
            struct timespec duration = { .tv_nsec = (long)sleep_ns };

            nanosleep(&duration, NULL);
        }
    }
    return true;
}

/* Runs the calls of one batch; false if that failed or was not begun. */
static bool run_round(struct worker *w, uint64_t intended_ns, bool record)
{
    const struct engine *engine = w->engine;
    uint64_t first_start, first_end, touch_start = 0, touch_end = 0, second_start, second_end;
    bool touches = w->loop->touch != TOUCH_NONE && engine->touch;
    bool ok;

    if (w->next + w->loop->batch > w->n_targets)
        w->next = 0;
    engine->prepare(w, w->targets + w->next);
    if (intended_ns && !wait_until(w->loop, intended_ns))
        return false;
    set_cursor(w, w->next + 1);
    w->next += w->loop->batch;

    /* A late start counts as latency, so that there is no coordinated omission. */
    first_start = intended_ns ? intended_ns : now_ns();
    ok = engine->first(w);
    first_end = now_ns();

    /* A page of other content may have another owner meanwhile: do not write to it. */
    if (ok && touches && w->loop->touch == TOUCH_WRITE)
        ok = engine->check_first(w);
    /* Before the contents are checked otherwise, which would bring the pages into the caches. */
    if (ok && touches) {
        touch_start = now_ns();
        engine->touch(w);
        touch_end = now_ns();
    }

    ok &= engine->check_first(w);
    second_start = now_ns();
    ok &= engine->second(w);
    second_end = now_ns();
    ok &= engine->check_second(w);

    if (!ok)
        return false;
    set_cursor(w, 0);
    if (record) {
        histogram_record(w->first, first_end - first_start);
        if (touches)
            histogram_record(w->touch, touch_end - touch_start);
        histogram_record(w->second, second_end - second_start);
    }
    return true;
}

static bool warm_up(struct worker *w)
{
    for (uint64_t i = 0; i < w->loop->warmup && !stopped(w->loop); i++)
        if (!run_round(w, 0, false))
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
        if (!run_round(w, due, true))
            break;
        __atomic_store_n(&w->rounds, w->rounds + 1, __ATOMIC_RELAXED);
        if (loop->duration_ns)
            now = now_ns();
    }
    w->elapsed_ns = now_ns() - start;
    /* With an interval, the last round takes its whole interval like all others. */
    if (w->elapsed_ns < w->rounds * loop->interval_ns)
        w->elapsed_ns = w->rounds * loop->interval_ns;
}

/* Without the barrier, some rounds would be measured without contention. */
static void wait_for_workers(struct start_barrier *barrier, const struct loop *loop)
{
    atomic_fetch_add(&barrier->arrived, 1);
    while (atomic_load(&barrier->arrived) < barrier->expected && !stopped(loop))
        sched_yield();
}

static bool set_up_thread(struct worker *w)
{
    /*
     * In a file table that threads share, Linux takes and drops a reference to the file in every
     * system call: about 60 instructions, and contention between the workers, that would be part
     * of the measurement.
     */
    if (unshare(CLONE_FILES))
        return worker_fail(w, LOOP_ERRNO, "unshare", errno, w->targets);
    if (w->cpu >= 0) {
        cpu_set_t set;
        int rc;

        CPU_ZERO(&set);
        CPU_SET((size_t)w->cpu, &set);
        rc = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
        if (rc)
            return worker_fail(w, LOOP_ERRNO, "pthread_setaffinity_np", rc, w->targets);
    }
    return true;
}

static void *run_worker(void *arg)
{
    struct thread_args *args = arg;
    struct worker *w = args->worker;
    bool ok = set_up_thread(w) && w->engine->open(w) && warm_up(w);

    wait_for_workers(args->barrier, w->loop);
    if (ok)
        measure(w);
    w->engine->close(w);
    return NULL;
}

int loop_run(struct loop *loop)
{
    struct start_barrier barrier = { .expected = loop->n_workers };
    pthread_t *threads = calloc(loop->n_workers, sizeof(*threads));
    struct thread_args *args = calloc(loop->n_workers, sizeof(*args));
    size_t started = 0;
    int rc = threads && args ? 0 : ENOMEM;

    while (!rc && started < loop->n_workers) {
        struct worker *w = &loop->workers[started];

        w->loop = loop;
        w->engine = engines[loop->engine];
        args[started] = (struct thread_args){ .worker = w, .barrier = &barrier };
        rc = pthread_create(&threads[started], NULL, run_worker, &args[started]);
        if (!rc)
            started++;
    }
    if (rc)
        stop(loop); /* the started workers wait at the barrier for those that are missing */
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(args);
    free(threads);
    return rc;
}
