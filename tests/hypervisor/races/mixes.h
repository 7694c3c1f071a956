/* What the threads do, and how often: each mix has something else be met most often. */
#ifndef MIXES_H
#define MIXES_H

#include <stdbool.h>
#include <string.h>

/* clang-format off */
enum operation {
    /* by any vCPU of a domain's */
    MAP, UNMAP, WRONG, COPY, GROW,
    /* by the thread that administers it */
    GRANT, FIRST_ADMINISTERED = GRANT, REVOKE, VERSION, SWAP, END,
    BEGIN, /* follows an end */
    NR_OPERATIONS
};
/* clang-format on */

static const char *const operation_names[NR_OPERATIONS] = {
    "map", "unmap", "wrong", "copy", "grow", "grant", "revoke", "version", "swap", "end", "begin",
};

enum { MAX_BATCH = 8 };

struct mix {
    const char *name;
    bool translated;          /* domain 1 is HVM rather than PV */
    bool iommu;               /* strict mode, of domain 0 */
    bool bus;                 /* each mapping has a bus address there */
    bool fast;                /* the patched hypervisor's boot option */
    int maptrack_frames;      /* limit of each domain's; -1: Xen's default */
    unsigned int first, refs; /* which references are used: the fewer, the more they meet */
    unsigned int batch;       /* requests of a hypercall, at most */
    unsigned int preempt;     /* requests between two preemption checks that say so; 0: none do */
    unsigned int weights[NR_OPERATIONS];
};

/* clang-format off */
static const struct mix mixes[] = {
    /* Nothing wrong is asked, so no unmap may be refused, whatever else goes on. */
    { "orderly", false, false, false, true, -1, 0, 6, 4, 0,
      { [MAP] = 160, [UNMAP] = 160, [COPY] = 16, [GROW] = 4, [GRANT] = 60, [REVOKE] = 8,
        [VERSION] = 12, [SWAP] = 4, [END] = 1 } },
    { "wrong", false, false, false, true, -1, 0, 4, 4, 0,
      { [MAP] = 160, [UNMAP] = 80, [WRONG] = 160, [COPY] = 16, [GROW] = 4, [GRANT] = 60,
        [REVOKE] = 8, [VERSION] = 12, [SWAP] = 4, [END] = 1 } },
    /* Mostly unmapped, so that most switches of version go through. */
    { "versions", false, false, false, true, -1, 0, 3, 1, 0,
      { [MAP] = 60, [UNMAP] = 80, [WRONG] = 10, [COPY] = 20, [GROW] = 1, [GRANT] = 60,
        [VERSION] = 20 } },
    /* References that may be in use when the version is switched. */
    { "reserved", false, false, false, true, -1, 6, 3, 1, 0,
      { [MAP] = 80, [UNMAP] = 80, [COPY] = 10, [GROW] = 1, [GRANT] = 20, [VERSION] = 20 } },
    { "ends", true, false, false, true, -1, 0, 8, 8, 2,
      { [MAP] = 160, [UNMAP] = 120, [WRONG] = 40, [GROW] = 8, [GRANT] = 60, [VERSION] = 4,
        [END] = 8 } },
    { "iommu", true, true, false, true, -1, 0, 6, 4, 3,
      { [MAP] = 160, [UNMAP] = 160, [WRONG] = 40, [GROW] = 4, [GRANT] = 60, [VERSION] = 4,
        [END] = 2 } },
    { "bus", true, true, true, true, -1, 4, 8, 4, 3,
      { [MAP] = 160, [UNMAP] = 160, [WRONG] = 40, [GROW] = 4, [GRANT] = 60, [VERSION] = 4,
        [END] = 2 } },
    /* Handles of the maptrack table alone: few, and stolen from one another. */
    { "slow", false, false, false, false, 1, 0, 8, 4, 0,
      { [MAP] = 160, [UNMAP] = 100, [WRONG] = 60, [COPY] = 8, [GROW] = 4, [GRANT] = 60,
        [VERSION] = 8, [END] = 2 } },
    { "slow-bus", false, true, true, false, 1, 0, 8, 4, 0,
      { [MAP] = 160, [UNMAP] = 140, [WRONG] = 20, [COPY] = 8, [GROW] = 4, [GRANT] = 60,
        [VERSION] = 8, [END] = 2 } },
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
