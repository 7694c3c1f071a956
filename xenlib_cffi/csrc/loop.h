/*
 * The timed loop: maps a batch of references and unmaps it, or copies from their pages and back, and
 * records the duration of both calls.
 *
 * Each worker is a thread, which can be pinned to a vCPU; all workers of a loop use one engine. The
 * timed sections contain only the call under measurement: operations are filled in before and
 * checked after it.
 */
#ifndef XENLIB_LOOP_H
#define XENLIB_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

/* A reference: its granter, its gref, and the word that its page begins and ends with. */
struct target {
    uint32_t domid;
    uint32_t gref;
    uint64_t pattern;
    uint64_t frame; /* gfn of the page, mfn of a PV granter; only LOOP_FOREIGN uses it */
};

enum loop_error {
    LOOP_OK,
    LOOP_ERRNO,    /* the call failed: errnum */
    LOOP_STATUS,   /* Xen rejected one operation: status is its GNTST_* */
    LOOP_CONTENTS, /* the mapped or copied page does not hold what the target's page does */
};

/* The first failure of a worker: error and call are always set, the rest as the error says. */
struct loop_failure {
    enum loop_error error;
    const char *call;
    int errnum;
    int status;
    uint32_t domid;
    uint32_t gref;
};

struct worker;

/* What a worker does with the pages that an engine has mapped; see mapped_pages.h. */
enum loop_touch { TOUCH_NONE, TOUCH_READ, TOUCH_WRITE, TOUCH_COPY };

/*
 * The functions of an engine. A worker calls open and close once, close also if open has failed,
 * and the others once for each batch, in this order; check_first also before a touch that writes.
 * After a failed `first`, all but touch are still called, so that what was mapped is unmapped.
 * Those that return bool return false after they have called worker_fail(). `first` maps, or copies
 * from the granter; `second` unmaps, or copies to the granter. `touch` is called if `first` was
 * successful and loop->touch asks for it; it is NULL for an engine whose pages have no address in
 * this process.
 */
struct engine {
    bool (*open)(struct worker *w);
    void (*close)(struct worker *w);
    void (*prepare)(struct worker *w, const struct target *batch);
    bool (*first)(struct worker *w); /* timed */
    void (*touch)(struct worker *w); /* timed */
    bool (*check_first)(struct worker *w);
    bool (*second)(struct worker *w); /* timed */
    bool (*check_second)(struct worker *w);
};

extern const struct engine hypercall_engine, gntdev_engine, copy_engine, gntdev_copy_engine,
    persistent_engine, foreign_engine;
/* The same calls with operations that are rejected at once: they measure the overhead. */
extern const struct engine refused_hypercall_engine, refused_gntdev_engine, refused_copy_engine,
    refused_gntdev_copy_engine, refused_foreign_engine;
/* Makes no call. It measures the overhead of persistent_engine, whose copies are no calls. */
extern const struct engine empty_engine;

struct worker {
    /* Filled in by the caller. */
    int cpu; /* vCPU to pin the thread to; -1: not pinned */
    const struct target *targets;
    size_t n_targets;
    uint64_t *cursor;         /* set by set_cursor() in loop.c; may be NULL */
    struct histogram *first;  /* ns of each call of the engine's `first` */
    struct histogram *touch;  /* the same of `touch`; may be NULL without loop->touch */
    struct histogram *second; /* the same of `second` */
    /* Pages of this process for one batch, and their frames as Xen names them. Only LOOP_COPY uses
     * them: a hypercall copies to frames, not to addresses. */
    unsigned char *local;
    const uint64_t *local_frames;

    /* Results. */
    uint64_t rounds;     /* recorded rounds, without the warm-up */
    uint64_t elapsed_ns; /* time that the recorded rounds took */
    struct loop_failure failure;

    /* Used by loop_run(). */
    struct loop *loop;
    const struct engine *engine;
    size_t next; /* index of the first target of the next batch */
    void *state; /* private to the engine */
};

enum loop_engine {
    LOOP_HYPERCALL,
    LOOP_GNTDEV,
    LOOP_COPY,
    LOOP_GNTDEV_COPY,
    LOOP_PERSISTENT,
    LOOP_FOREIGN,
    LOOP_REFUSED_HYPERCALL,
    LOOP_REFUSED_GNTDEV,
    LOOP_REFUSED_COPY,
    LOOP_REFUSED_GNTDEV_COPY,
    LOOP_REFUSED_FOREIGN,
    LOOP_EMPTY,
};

struct loop {
    enum loop_engine engine;
    struct worker *workers;
    size_t n_workers;
    size_t batch; /* references per call */
    bool readonly;
    enum loop_touch touch;
    size_t bytes;         /* of each page that are copied or touched, 64 to XENLIB_PAGE_SIZE */
    uint64_t warmup;      /* rounds of each worker before it records */
    uint64_t rounds;      /* rounds of each worker to record; 0: until duration_ns has passed */
    uint64_t duration_ns; /* 0: until the rounds are done */
    uint64_t interval_ns; /* between intended starts of rounds; 0: no pause */
    int stop;             /* set by another thread or by a worker that failed */
};

/*
 * Runs all workers until they end. Returns 0, also if a worker failed, or an errno value if the
 * threads could not be started.
 */
int loop_run(struct loop *loop);

/*
 * Stores the failure of a worker, if it is its first, and stops the loop: every worker finishes its
 * round. `code` is an errno value or a GNTST_*, depending on `error`. Always returns false.
 */
bool worker_fail(struct worker *w, enum loop_error error, const char *call, int code,
                 const struct target *target);

#endif
