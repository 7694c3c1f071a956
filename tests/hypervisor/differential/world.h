/* State of the current world: domains of both hypervisors, mappings made, and the comparison. */
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define __XEN_TOOLS__ 1
#include <public/xen.h>
#include <public/grant_table.h>
#include <public/memory.h>

#include "differential.h"
#include "expected.h"
#include "hypervisors.h"

enum { NR_REFS = 12, NR_DOMAINS = 4, NR_PLACES = 12, NR_PAGES = 6, GRANT_FRAMES = 130, VCPUS = 2 };
/* References in use: reserved, ordinary, at the end of a frame, beyond 16 bits. */
extern const uint32_t refs[NR_REFS];
/* Includes the lowest and the highest domid, to use the whole domid field of a handle. */
extern const unsigned int domids[NR_DOMAINS];

extern struct setting active_setting;
extern struct outcome *current_outcome;
extern struct mapping mappings[MAX_MAPPINGS];
extern unsigned int nr_mappings;
/* Number of live mappings of a domain; [1] are fast on the patched hypervisor. */
extern unsigned int nr_live[NR_DOMAINS][2];
/* MAPLESS: no maptrack frames, cannot map; FEW_HANDLES: one frame; VERSION_1: max_version 1. */
extern enum domain_kind { USUAL, MAPLESS, FEW_HANDLES, VERSION_1 } domain_kinds[NR_DOMAINS];

/* Maximum number of requests of a step. */
enum { MAX_BATCH = 4 };
static inline unsigned int batch_of(const struct step *s)
{
    return 1 + s->more % MAX_BATCH;
}

/* Report a difference; only the first one is kept. */
void report_difference(const char *what, long on_stock, long on_patched);
/* Report a difference unless both values are the same; return whether they are. */
bool check_same(const char *what, long on_stock, long on_patched);
/* Compare the state of both hypervisors. */
void compare(void);

/* Count the status of a step. */
void count_status(enum step_kind kind, int status);
/* Write requests and statuses to the trace. */
#define trace(...) \
    do \
    { \
        if ( differ_trace ) \
            fprintf(differ_trace, __VA_ARGS__); \
    } while ( 0 )

/* Reset both hypervisors; there are no domains yet. */
void begin_world(const struct setting *setting, struct outcome *outcome);
void create(unsigned int domain);
bool alive(unsigned int domain);
/* Alive and not crashed. */
bool usable(unsigned int domain);
/* Whether the patched hypervisor gives bus addresses to mappings by @mapper of @granter's pages. */
static inline bool own_bus(unsigned int mapper, unsigned int granter)
{
    return active_setting.strict_iommu == 2 && mapper == 0 && granter != 0;
}
/* Whether the patched hypervisor enters these into the IOMMU page tables at machine addresses. */
static inline bool in_iommu(unsigned int mapper, unsigned int granter)
{
    return active_setting.strict_iommu == 1 && mapper == 0 && granter != 0;
}
bool translated(unsigned int domain);
/* Make the following hypercalls as this domain and vCPU, on both hypervisors. */
void enter_both(unsigned int domain, unsigned int vcpu);
void allocations_fail(bool fail);

/*
 * L1 entries (or guest frames) where domains map.  They come in pairs 1024 apart, the number of
 * values of a tag, whose tags must differ nevertheless.
 */
unsigned int entry_of(unsigned int place);
uint64_t address_of(const struct hypervisor *side, unsigned int domain, unsigned int place,
                    unsigned int flags);

#endif
