/* Mixes of operations for the threads; each mix makes other operations meet often. */
#ifndef MIXES_H
#define MIXES_H

#include <stdbool.h>
#include <string.h>

/* clang-format off */
enum operation {
    /* by any vCPU of a domain */
    MAP, UNMAP, INVALID_UNMAP, COPY, GROW,
    /* by the domain's administrator thread */
    GRANT, FIRST_ADMINISTERED = GRANT, REVOKE, VERSION, SWAP, DESTROY,
    CREATE, /* follows DESTROY */
    NR_OPERATIONS
};
/* clang-format on */

static const char *const operation_names[NR_OPERATIONS] = {
    "map",    "unmap",   "invalid-unmap", "copy",    "grow",   "grant",
    "revoke", "version", "swap",          "destroy", "create",
};

enum { MAX_BATCH = 8 };

struct mix {
    const char *name;
    bool translated;          /* domain 1 is translated */
    bool iommu;               /* strict mode for domain 0 */
    bool bus;                 /* with bus addresses of mappings */
    bool fast;                /* gnttab=fast-maptrack */
    bool skip;                /* gnttab=skip-flush, with CPUs that access pages of domain 0 */
    int maptrack_frames;      /* limit of each domain; -1: Xen's default */
    unsigned int first, refs; /* range of refs[] in use: the fewer, the more contention */
    unsigned int batch;       /* maximum number of requests per hypercall */
    unsigned int preempt;     /* how many preemption checks until one is positive; 0: never */
    unsigned int weights[NR_OPERATIONS];
};

/* clang-format off */
static const struct mix mixes[] = {
    /* All requests are valid, so no unmap may be refused. */
    { "valid", false, false, false, true, false, -1, 0, 6, 4, 0,
      { [MAP] = 160, [UNMAP] = 160, [COPY] = 16, [GROW] = 4, [GRANT] = 60, [REVOKE] = 8,
        [VERSION] = 12, [SWAP] = 4, [DESTROY] = 1 } },
    { "invalid", false, false, false, true, false, -1, 0, 4, 4, 0,
      { [MAP] = 160, [UNMAP] = 80, [INVALID_UNMAP] = 160, [COPY] = 16, [GROW] = 4, [GRANT] = 60,
        [REVOKE] = 8, [VERSION] = 12, [SWAP] = 4, [DESTROY] = 1 } },
    /* References are rarely mapped, so that most version switches succeed. */
    { "versions", false, false, false, true, false, -1, 0, 3, 1, 0,
      { [MAP] = 60, [UNMAP] = 80, [INVALID_UNMAP] = 10, [COPY] = 20, [GROW] = 1, [GRANT] = 60,
        [VERSION] = 20 } },
    /* Reserved references, which may be in use during a version switch. */
    { "reserved", false, false, false, true, false, -1, 6, 3, 1, 0,
      { [MAP] = 80, [UNMAP] = 80, [COPY] = 10, [GROW] = 1, [GRANT] = 20, [VERSION] = 20 } },
    { "destroy", true, false, false, true, false, -1, 0, 8, 8, 2,
      { [MAP] = 160, [UNMAP] = 120, [INVALID_UNMAP] = 40, [GROW] = 8, [GRANT] = 60, [VERSION] = 4,
        [DESTROY] = 8 } },
    { "iommu", true, true, false, true, false, -1, 0, 6, 4, 3,
      { [MAP] = 160, [UNMAP] = 160, [INVALID_UNMAP] = 40, [GROW] = 4, [GRANT] = 60, [VERSION] = 4,
        [DESTROY] = 2 } },
    { "bus", true, true, true, true, false, -1, 4, 8, 4, 3,
      { [MAP] = 160, [UNMAP] = 160, [INVALID_UNMAP] = 40, [GROW] = 4, [GRANT] = 60, [VERSION] = 4,
        [DESTROY] = 2 } },
    { "accessed", false, false, false, true, true, -1, 0, 6, 4, 0,
      { [MAP] = 160, [UNMAP] = 160, [INVALID_UNMAP] = 40, [GROW] = 4, [GRANT] = 60, [VERSION] = 4,
        [DESTROY] = 2 } },
    /* Only few maptrack entries, which vCPUs steal from each other. */
    { "slow", false, false, false, false, false, 1, 0, 8, 4, 0,
      { [MAP] = 160, [UNMAP] = 100, [INVALID_UNMAP] = 60, [COPY] = 8, [GROW] = 4, [GRANT] = 60,
        [VERSION] = 8, [DESTROY] = 2 } },
    { "slow-bus", false, true, true, false, false, 1, 0, 8, 4, 0,
      { [MAP] = 160, [UNMAP] = 140, [INVALID_UNMAP] = 20, [COPY] = 8, [GROW] = 4, [GRANT] = 60,
        [VERSION] = 8, [DESTROY] = 2 } },
};
/* clang-format on */

static const struct mix *mix_named(const char *name)
{
    for ( unsigned int i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++ )
        if ( !strcmp(mixes[i].name, name) )
            return &mixes[i];
    return NULL;
}

#endif
