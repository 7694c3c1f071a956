/*
 * The timed loop: map a batch of references, unmap it, record both.
 *
 * One pinned thread a worker, one engine for all of them. What an engine does
 * within the timed sections is the call under measurement and nothing else:
 * filling operations in and checking what came back lies outside.
 */
#ifndef XENLIB_LOOP_H
#define XENLIB_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

/* A reference to map: whose, which, and what its page begins and ends with. */
struct target {
    uint32_t domid;
    uint32_t gref;
    uint64_t pattern;
};

enum loop_trouble {
    LOOP_FINE,
    LOOP_ERRNO,    /* the call itself failed: errnum */
    LOOP_STATUS,   /* Xen refused one operation: status is its GNTST_* */
    LOOP_CONTENTS, /* the page mapped is not the page granted */
};

struct loop_failure {
    enum loop_trouble trouble;
    const char *call;
    int errnum;
    int status;
    uint32_t domid;
    uint32_t gref;
};

struct worker;

/* Each returns false after it filled in worker->failure. */
struct engine {
    bool (*open)(struct worker *w);
    void (*close)(struct worker *w);
    void (*prepare)(struct worker *w, const struct target *batch);
    bool (*map)(struct worker *w); /* timed */
    bool (*check)(struct worker *w);
    bool (*unmap)(struct worker *w); /* timed */
    bool (*settle)(struct worker *w);
};

extern const struct engine hypercall_engine, gntdev_engine;
/* The same loops over operations that are refused at once: the floor. */
extern const struct engine refused_hypercall_engine, refused_gntdev_engine;

struct worker {
    int cpu; /* pinned to it; -1: wherever it runs */
    const struct target *targets;
    size_t n_targets;
    uint64_t *cursor;      /* or NULL; see loop.c */
    struct histogram *map; /* ns a call */
    struct histogram *unmap;
    uint64_t rounds;     /* done since the warm-up */
    uint64_t elapsed_ns; /* of those */
    struct loop_failure failure;

    struct loop *loop;
    const struct engine *engine;
    size_t next;
    void *state; /* the engine's own */
};

enum loop_engine {
    LOOP_HYPERCALL,
    LOOP_GNTDEV,
    LOOP_REFUSED_HYPERCALL,
    LOOP_REFUSED_GNTDEV,
};

struct loop {
    enum loop_engine engine;
    struct worker *workers;
    size_t n_workers;
    size_t batch;
    bool readonly;
    uint64_t warmup;      /* rounds a worker */
    uint64_t rounds;      /* a worker; 0: until the time is up */
    uint64_t duration_ns; /* 0: until the rounds are done */
    uint64_t interval_ns; /* between intended starts; 0: flat out */
    int stop;             /* set by another thread, or a worker that failed */
};

/* Runs to the end of every worker. 0, or an errno: no thread could be started. */
int loop_run(struct loop *loop);

/* Keeps a worker's first failure, and has all of them finish their round and end. False. */
bool worker_fails(struct worker *w, enum loop_trouble trouble, const char *call, int code,
                  const struct target *target);

#endif
