/*
 * The same operations on two hypervisors, stock and patched, and a comparison of all there is to be
 * seen after each.  An operation is eight bytes, every value of which means something: so a sequence
 * can come from a random generator, from a fuzzer or from Python, and a failing one be cut short.
 */
#ifndef DIFFER_H
#define DIFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct step {
    uint8_t what;    /* enum what, modulo its number */
    uint8_t actor;   /* which domain does it, and on which of its vCPUs */
    uint8_t other;   /* which domain it is about: the granter, most often */
    uint8_t ref;     /* which of the references that are looked at */
    uint8_t flags;   /* of the mapping, or of the grant */
    uint8_t place;   /* where it maps, or which page is granted */
    uint8_t mapping; /* which of those made so far */
    uint8_t more;    /* length of a batch, and the rest */
};

/* clang-format off */
enum what { GRANT, REVOKE, MAP, UNMAP, REPLACE, BAD_HANDLE, COPY, VERSION, GROW, SWAP, END, PREEMPT,
            HOLD, NR_WHAT };
/* clang-format on */
/* What they are called. */
extern const char *const differ_names[NR_WHAT];

/* Which machines there are: everything of a run that is not in its steps. */
struct setting {
    bool translated_mapper;    /* domain 1 is HVM rather than PV */
    unsigned int strict_iommu; /* of domain 0; 2: patched, its mappings have bus addresses */
    bool fast;                 /* the patched hypervisor's boot option */
};

struct outcome {
    size_t done;  /* steps that were taken */
    bool differs; /* in the last of them */
    char what[256];
};

/* A new world on both; what is done to it from then on, and what comes of it, is in @outcome. */
void differ_begin(const struct setting *setting, struct outcome *outcome);
/* Take one step, and compare; nothing once they differ. */
void differ_take(const struct step *step);
/* End all domains, and look whether anything is left. */
void differ_end(void);
/* All of that. */
void differ_run(const struct setting *setting, const struct step *steps, size_t count,
                struct outcome *outcome);
/* Random steps until there were @count, each world of @length; the seed of a world follows. */
void differ_random(const struct setting *setting, uint64_t seed, size_t length, size_t count,
                   struct outcome *outcome, uint64_t *failing_seed);
/* The steps of such a world. */
void differ_steps(uint64_t seed, struct step *steps, size_t length);
/* Where each request and its answer is written; NULL: nowhere. */
extern FILE *differ_trace;
/* How often each kind of step had each kind of answer, for who doubts that anything was tested. */
unsigned long differ_tally(unsigned int what, int status);

#endif
