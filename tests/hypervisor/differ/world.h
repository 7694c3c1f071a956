/* The domains of both hypervisors, what has been done to them, and whether they show the same. */
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define __XEN_TOOLS__ 1
#include <public/xen.h>
#include <public/grant_table.h>
#include <public/memory.h>

#include "differ.h"
#include "meant.h"
#include "sides.h"

enum { NR_REFS = 12, NR_DOMAINS = 4, NR_PLACES = 12, NR_PAGES = 6, GRANT_FRAMES = 130, VCPUS = 2 };
/* The references that are used: reserved ones, usual ones, at the end of a frame, and beyond 16 bits. */
extern const uint32_t refs[NR_REFS];
/* As far apart as domids get, so that a handle with one of them is no other's. */
extern const unsigned int domids[NR_DOMAINS];

extern struct setting now;
extern struct outcome *result;
extern struct mapping mappings[MAX_MAPPINGS];
extern unsigned int nr_mappings;
/* What a domain has mapped, by how the patched hypervisor records it: [1] is fast. */
extern unsigned int nr_live[NR_DOMAINS][2];
/* MAPLESS: may not map at all, having no maptrack frames; FEW_HANDLES: its vCPUs share a frame. */
extern enum kind { USUAL, MAPLESS, FEW_HANDLES, VERSION_1 } kinds[NR_DOMAINS];

/* As many requests a step makes at once. */
enum { MAX_BATCH = 4 };
static inline unsigned int batch_of(const struct step *s)
{
    return 1 + s->more % MAX_BATCH;
}

/* Note that they differ, and in what; only what is noted first counts. */
void differs(const char *what, long is_stock, long is_patched);
/* Note it unless both are the same, which is returned. */
bool same(const char *what, long is_stock, long is_patched);
/* Everything that is to be seen of what the steps are about. */
void compare(void);

/* Note an answer to a step. */
void count(enum what what, int status);
/* What was asked and answered, for who reads a failing sequence. */
#define say(...) \
    do \
    { \
        if ( differ_trace ) \
            fprintf(differ_trace, __VA_ARGS__); \
    } while ( 0 )

/* Begin anew, with no domain. */
void begin_world(const struct setting *setting, struct outcome *outcome);
void create(unsigned int domain);
bool alive(unsigned int domain);
/* Alive, and not crashed. */
bool usable(unsigned int domain);
/* Whether the patched hypervisor gives mappings by one domain of another's bus addresses. */
static inline bool own_bus(unsigned int mapper, unsigned int granter)
{
    return now.strict_iommu == 2 && mapper == 0 && granter != 0;
}
bool translated(unsigned int domain);
/* What is called next, is called by it. */
void enter_both(unsigned int domain, unsigned int vcpu);
void allocations_fail(bool fail);

/*
 * Where a domain maps: linear addresses, or of entries; in pairs that are as far apart as a tag has
 * values, which is to be told nevertheless.
 */
unsigned int entry_of(unsigned int place);
uint64_t address_of(const struct hypervisor *side, unsigned int domain, unsigned int place,
                    unsigned int flags);

#endif
