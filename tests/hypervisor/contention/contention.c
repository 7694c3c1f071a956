/*
 * Throughput of mapping and unmapping on several CPUs at once, stock against patched:
 *
 *     contention SCENARIO THREADS BATCH MILLISECONDS ROUNDS
 *
 * Each round runs both hypervisors, in alternating order.  Thread t is vCPU t of one mapper, domain
 * 0, on its own CPU if there are enough; it maps and unmaps BATCH references per hypercall, for
 * host access, until the time is up.  Scenarios:
 *
 *     disjoint  one granter; each thread has its own references and pages
 *     granters  each thread has its own granter
 *     shared    one granter; all threads use the same references and pages, read-only
 *     stealing  as disjoint, but only one maptrack entry is free for all threads
 *
 * The program prints a line per round and hypervisor: name, pairs completed, requests refused for
 * lack of a maptrack entry, wall-clock seconds, and the sum of the threads' CPU seconds.  Exit
 * codes: 0 success, 1 a request failed otherwise or the state is inconsistent, 2 usage error.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define __XEN_TOOLS__ 1
#include <public/xen.h>
#include <public/grant_table.h>

#include "../differential/hypervisors.h"

enum {
    MAX_THREADS = 4,
    MAX_BATCH = 32,
    /* Distances such that no two threads share a cache line of entries or page_info. */
    REFS_APART = 512,
    PAGES_APART = RAM_PAGES / MAX_THREADS,
    ENTRIES_APART = 1024,
    FIRST_REF = 64,
    FIRST_HELD_REF = MAX_THREADS * REFS_APART + FIRST_REF,
    ENTRIES_PER_FRAME = 256,
};

enum scenario { DISJOINT, GRANTERS, SHARED, STEALING, NR_SCENARIOS };
static const char *const names[NR_SCENARIOS] = { "disjoint", "granters", "shared", "stealing" };

static enum scenario scenario;
static unsigned int threads, batch;
static atomic_bool stop;
static pthread_barrier_t ready;

struct worker {
    _Alignas(128) const struct hypervisor *side;
    unsigned int self;
    unsigned long pairs, refused;
    bool failed;
    double seconds; /* of CPU time */
};

static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static unsigned int granter_of(unsigned int thread)
{
    return 1 + (scenario == GRANTERS ? thread : 0);
}

static unsigned int ref_of(unsigned int thread, unsigned int n)
{
    return FIRST_REF + (scenario == SHARED ? 0 : thread * REFS_APART) + n;
}

static uint64_t address_of(unsigned int entry)
{
    return LINEAR_BASE + ((uint64_t)entry << 12);
}

static unsigned int map_flags(void)
{
    return GNTMAP_host_map | (scenario == SHARED ? GNTMAP_readonly : 0);
}

static void create(const struct hypervisor *side, unsigned int domid)
{
    const struct domain_config config = {
        .vcpus = MAX_THREADS,
        .max_version = 1,
        .grant_frames = -1,
        .maptrack_frames = scenario == STEALING && !domid ? 1 : -1,
    };

    if ( side->create(domid, &config) )
        abort();
}

/* Grow the table to hold all references. */
static void grow(const struct hypervisor *side, unsigned int domid)
{
    static xen_pfn_t pfns[64];
    struct gnttab_setup_table request = {
        .dom = DOMID_SELF,
        .nr_frames = MAX_THREADS + 2,
        .frame_list = { pfns },
    };

    side->enter(domid, 0, 0);
    side->operate(GNTTABOP_setup_table, &request, 1);
    side->leave();
}

static void grant(const struct hypervisor *side, unsigned int domid, unsigned int ref,
                  unsigned int page)
{
    if ( !side->grant(domid, ref, GTF_permit_access, 0, side->gfn(domid, page)) )
        abort();
}

/* Take all maptrack entries but one and those that each thread's free list keeps. */
static void take_entries(const struct hypervisor *side)
{
    struct gnttab_map_grant_ref request;

    side->enter(0, 0, 0);
    for ( unsigned int i = 0; i < ENTRIES_PER_FRAME - threads - 1; i++ )
    {
        grant(side, 1, FIRST_HELD_REF + i, RAM_PAGES - 1);
        /* A second mapping for device and host is recorded in the maptrack table. */
        request = (struct gnttab_map_grant_ref){
            .dom = 1,
            .ref = FIRST_HELD_REF + i,
            .flags = GNTMAP_device_map | GNTMAP_readonly,
        };
        side->operate(GNTTABOP_map_grant_ref, &request, 1);
        if ( request.status )
            abort();
    }
    side->leave();
}

static void create_world(const struct hypervisor *side)
{
    side->reset();
    side->fast_maptrack(true);
    create(side, 0);
    for ( unsigned int t = 0; t < (scenario == GRANTERS ? threads : 1); t++ )
    {
        create(side, 1 + t);
        grow(side, 1 + t);
    }
    for ( unsigned int t = 0; t < threads; t++ )
        for ( unsigned int n = 0; n < batch; n++ )
            grant(side, granter_of(t), ref_of(t, n),
                  (scenario == SHARED ? 0 : t * PAGES_APART) + n % (PAGES_APART - 1));
    if ( scenario == STEALING )
        take_entries(side);
}

static void map_unmap_batch(struct worker *me)
{
    struct gnttab_map_grant_ref maps[MAX_BATCH];
    struct gnttab_unmap_grant_ref unmaps[MAX_BATCH];
    unsigned int made = 0;

    for ( unsigned int n = 0; n < batch; n++ )
    {
        maps[n].dom = granter_of(me->self);
        maps[n].ref = ref_of(me->self, n);
        maps[n].flags = map_flags();
        maps[n].host_addr = address_of(me->self * ENTRIES_APART + n);
    }
    me->side->operate(GNTTABOP_map_grant_ref, maps, batch);
    for ( unsigned int n = 0; n < batch; n++ )
        if ( !maps[n].status )
            unmaps[made++] = (struct gnttab_unmap_grant_ref){
                .host_addr = maps[n].host_addr,
                .handle = maps[n].handle,
            };
        else if ( maps[n].status == GNTST_no_space )
            me->refused++;
        else
            me->failed = true;
    me->side->operate(GNTTABOP_unmap_grant_ref, unmaps, made);
    for ( unsigned int n = 0; n < made; n++ )
        if ( unmaps[n].status )
            me->failed = true;
    me->pairs += made;
}

static void *worker_main(void *data)
{
    struct worker *me = data;
    cpu_set_t cpus;
    double start;

    CPU_ZERO(&cpus);
    CPU_SET(me->self % sysconf(_SC_NPROCESSORS_ONLN), &cpus);
    pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
    me->side->enter(0, me->self, me->self);
    for ( unsigned int i = 0; i < 100; i++ )
        map_unmap_batch(me);
    me->pairs = me->refused = 0;
    pthread_barrier_wait(&ready);
    start = now(CLOCK_THREAD_CPUTIME_ID);
    while ( !atomic_load_explicit(&stop, memory_order_relaxed) )
        map_unmap_batch(me);
    me->seconds = now(CLOCK_THREAD_CPUTIME_ID) - start;
    me->side->leave();
    return NULL;
}

static bool run(const struct hypervisor *side, unsigned int milliseconds)
{
    const struct timespec length = { milliseconds / 1000, milliseconds % 1000 * 1000000L };
    static struct worker workers[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    struct worker sum = { 0 };
    double start, wall;

    create_world(side);
    stop = false;
    pthread_barrier_init(&ready, NULL, threads + 1);
    for ( unsigned int t = 0; t < threads; t++ )
    {
        workers[t] = (struct worker){ .side = side, .self = t };
        pthread_create(&ids[t], NULL, worker_main, &workers[t]);
    }
    pthread_barrier_wait(&ready);
    start = now(CLOCK_MONOTONIC);
    nanosleep(&length, NULL);
    stop = true;
    wall = now(CLOCK_MONOTONIC) - start;
    for ( unsigned int t = 0; t < threads; t++ )
    {
        pthread_join(ids[t], NULL);
        sum.pairs += workers[t].pairs;
        sum.refused += workers[t].refused;
        sum.seconds += workers[t].seconds;
        sum.failed |= workers[t].failed;
    }
    pthread_barrier_destroy(&ready);
    printf("%s %lu %lu %.6f %.6f\n", side->name, sum.pairs, sum.refused, wall, sum.seconds);
    return !sum.failed && side->is_consistent();
}

int main(int argc, char **argv)
{
    unsigned int milliseconds, rounds;
    bool ok = true;

    if ( argc != 6 )
        return 2;
    while ( scenario < NR_SCENARIOS && strcmp(argv[1], names[scenario]) )
        scenario++;
    threads = atoi(argv[2]);
    batch = atoi(argv[3]);
    milliseconds = atoi(argv[4]);
    rounds = atoi(argv[5]);
    if ( scenario == NR_SCENARIOS || !threads || threads > MAX_THREADS || !batch ||
         batch > MAX_BATCH )
        return 2;
    for ( unsigned int i = 0; i < rounds && ok; i++ )
        ok = run(i % 2 ? &patched : &stock, milliseconds) &&
             run(i % 2 ? &stock : &patched, milliseconds);
    return !ok;
}
