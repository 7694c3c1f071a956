/* csrc/loop.h */
struct target {
    uint32_t domid;
    uint32_t gref;
    uint64_t pattern;
    uint64_t frame;
};

enum loop_error { LOOP_OK, LOOP_ERRNO, LOOP_STATUS, LOOP_CONTENTS };

struct loop_failure {
    enum loop_error error;
    const char *call;
    int errnum;
    int status;
    uint32_t domid;
    uint32_t gref;
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

enum loop_touch { TOUCH_NONE, TOUCH_READ, TOUCH_WRITE, TOUCH_COPY };

struct worker {
    int cpu;
    const struct target *targets;
    size_t n_targets;
    uint64_t *cursor;
    struct histogram *first;
    struct histogram *touch;
    struct histogram *second;
    unsigned char *local;
    const uint64_t *local_frames;
    uint64_t rounds;
    uint64_t elapsed_ns;
    struct loop_failure failure;
    ...;
};

struct loop {
    enum loop_engine engine;
    struct worker *workers;
    size_t n_workers;
    size_t batch;
    bool readonly;
    enum loop_touch touch;
    size_t bytes;
    uint64_t warmup;
    uint64_t rounds;
    uint64_t duration_ns;
    uint64_t interval_ns;
    int stop;
    ...;
};

int loop_run(struct loop *loop);
