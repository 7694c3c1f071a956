/*
 * Differential test: makes the same operations on two hypervisors, stock and patched, and compares
 * their state after each.  A step is eight bytes, and all values are valid, so that steps can come
 * from a random generator, a fuzzer or Python, and a failing sequence can be shortened.
 *
 * A world is a fresh set of domains on both hypervisors.
 */
#ifndef DIFFER_H
#define DIFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct step {
    uint8_t kind;    /* enum step_kind, modulo NR_STEP_KINDS */
    uint8_t actor;   /* acting domain and its vCPU */
    uint8_t other;   /* the other domain, usually the granter */
    uint8_t ref;     /* index into refs[] */
    uint8_t flags;   /* of the mapping or the grant */
    uint8_t place;   /* where to map, or which page to grant */
    uint8_t mapping; /* which of the mappings made so far */
    uint8_t more;    /* length of a batch and further options */
};

/* clang-format off */
enum step_kind {
    GRANT, REVOKE, MAP, UNMAP, REPLACE, BAD_HANDLE, COPY, VERSION, GROW, SWAP, DESTROY, PREEMPT,
    HOLD, NR_STEP_KINDS,
};
/* clang-format on */
/* Names of the step kinds. */
extern const char *const differ_names[NR_STEP_KINDS];

/* Configuration of a world. */
struct setting {
    bool translated_mapper;    /* domain 1 is HVM rather than PV */
    unsigned int strict_iommu; /* of domain 0; 2: with bus addresses on the patched one */
    bool fast;                 /* the patched hypervisor's boot option */
    unsigned int flush;        /* its options: 0 the defaults, 1 skip-flush, 2 no-batch-flush */
};

struct outcome {
    size_t done;  /* number of steps taken */
    bool differs; /* after the last step */
    char message[256];
};

/* Create a world; @outcome is updated until differ_end(). */
void differ_begin(const struct setting *setting, struct outcome *outcome);
/* Take one step and compare.  Does nothing after a difference. */
void differ_take(const struct step *step);
/* Destroy all domains and check for leaks. */
void differ_end(void);
/* Create a world, take the steps and end it. */
void differ_run(const struct setting *setting, const struct step *steps, size_t count,
                struct outcome *outcome);
/*
 * Take at least @count random steps in worlds of @length steps each, with consecutive seeds from
 * @seed. After a difference, *@failing_seed is the seed of the last world.
 */
void differ_random(const struct setting *setting, uint64_t seed, size_t length, size_t count,
                   struct outcome *outcome, uint64_t *failing_seed);
/* Generate the random steps of a world. */
void differ_steps(uint64_t seed, struct step *steps, size_t length);
/* Where requests and statuses are written; NULL: nowhere. */
extern FILE *differ_trace;
/* How often steps of a kind had a status, to check that a run covers the usual statuses. */
unsigned long differ_tally(unsigned int kind, int status);

#endif
