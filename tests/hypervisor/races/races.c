/*
 * Threads as vCPUs of several domains, all at once, bounded by a number of operations:
 *
 *     races MIX SEED OPERATIONS
 *
 * Thread t is vCPU t, on CPU t, of whichever domain it acts for, and alone administers domain t: its
 * grants, its table's version, its life.  Every so often all of them stop, and what is at rest has to
 * fit together; at the end nothing may be left.  What each thread asks follows from SEED; how they
 * meet does not.  On stdout, how often each kind of operation had each answer.  Exit codes: 0 all
 * right, 1 something does not fit, 2 usage.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define __XEN_TOOLS__ 1
#include <public/xen.h>
#include <public/grant_table.h>

#include "hypervisor.h"
#include "mixes.h"

extern const struct hypervisor SIDE;

enum {
    THREADS = 4,
    DOMAINS = THREADS,
    PLACES = 48,
    PAGES = 6,
    GRANT_FRAMES = 3,
    /* Operations of a thread between two looks at what is at rest. */
    ROUND = 1000,
};

static const unsigned int domids[DOMAINS] = { 0, 1, 2, 0x7fef };
/* Reserved and usual ones, and such as are there only once a table has grown. */
static const uint32_t refs[] = { 8, 9, 10, 11, 600, 1300, 3, 7, 12 };

/*
 * Where domains map, and what is there.  Relaxed throughout, as are all atomic operations here that
 * threads meet in: what the hypervisor does not order is not to be ordered by its test.
 */
enum { FREE, BUSY, LIVE };
static struct place {
    atomic_uint state, flags, handle;
    atomic_ulong bus;
} places[DOMAINS][PLACES];

/* Whose vCPU each thread is; a domain that ends waits until none is its. */
static struct {
    _Alignas(64) atomic_uint domain;
} running[THREADS];
static atomic_bool paused[DOMAINS];

static const struct mix *mix;
static unsigned long rounds;
static atomic_bool failed;
/* All threads stop after the same round. */
static bool over;
static pthread_barrier_t stop;
static unsigned long tallies[THREADS][NR_OPERATIONS][32];
static __thread unsigned int self;
static __thread uint64_t dice;

static unsigned int pick(unsigned int below)
{
    /* splitmix64 */
    uint64_t z = dice += 0x9e3779b97f4a7c15ULL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return (uint32_t)(z >> 32) % below;
}

static void tell(const char *what, unsigned int domain, long is)
{
    fprintf(stderr, "thread %u: %s of d%u: %ld\n", self, what, domids[domain], is);
    atomic_store(&failed, true);
}

static void count(enum operation what, long status)
{
    tallies[self][what][status <= 0 && status > -31 ? -status : 31]++;
}

/* This thread runs a vCPU of a domain's, unless the domain is ending or gone. */
static bool run(unsigned int domain)
{
    atomic_store(&running[self].domain, domain + 1);
    if ( atomic_load(&paused[domain]) )
    {
        atomic_store(&running[self].domain, 0);
        return false;
    }
    SIDE.enter(domids[domain], self, self);
    return true;
}

static void rest(void)
{
    SIDE.leave();
    atomic_store(&running[self].domain, 0);
}

static bool claim(struct place *place, unsigned int state)
{
    return atomic_compare_exchange_strong_explicit(&place->state, &state, BUSY,
                                                   memory_order_relaxed, memory_order_relaxed);
}

#define get(x) atomic_load_explicit(&(x), memory_order_relaxed)
#define set(x, value) atomic_store_explicit(&(x), value, memory_order_relaxed)

#include "requests.c"

static int create(unsigned int d)
{
    const struct domain_config config = {
        .translated = mix->translated && d == 1,
        .iommu = mix->iommu && d == 0,
        .vcpus = THREADS,
        .max_version = 2,
        .grant_frames = GRANT_FRAMES,
        .maptrack_frames = mix->maptrack_frames,
    };

    return SIDE.create(domids[d], &config);
}

static void end(unsigned int d)
{
    atomic_store(&paused[d], true);
    for ( unsigned int t = 0; t < THREADS; t++ )
        while ( atomic_load(&running[t].domain) == d + 1 )
            sched_yield();
    while ( !SIDE.kill(domids[d]) )
        ;
    for ( unsigned int n = 0; n < PLACES; n++ )
        set(places[d][n].state, FREE);
    count(END, 0);
}

/* A domain whose pages others still have mapped keeps its domid. */
static void begin(unsigned int d)
{
    int rc = create(d);

    if ( rc && rc != -17 )
        tell("creation", d, rc);
    count(BEGIN, rc);
    if ( !rc )
        atomic_store(&paused[d], false);
}

static void administer(enum operation what)
{
    if ( atomic_load(&paused[self]) )
        begin(self);
    if ( !run(self) )
        return;
    switch ( what )
    {
    case GRANT:
        revoke(self, true);
        break;
    case REVOKE:
        revoke(self, false);
        break;
    case VERSION:
        version(self);
        break;
    case SWAP:
        swap(self);
        break;
    case END:
        rest();
        end(self);
        return;
    default:
        break;
    }
    rest();
}

static void take(void)
{
    unsigned int total = 0, n, domain = pick(DOMAINS);
    enum operation what;

    for ( what = 0; what < NR_OPERATIONS; what++ )
        total += mix->weights[what];
    n = pick(total);
    for ( what = 0; n >= mix->weights[what]; what++ )
        n -= mix->weights[what];
    if ( what >= FIRST_ADMINISTERED )
    {
        administer(what);
        return;
    }
    if ( !run(domain) )
        return;
    switch ( what )
    {
    case MAP:
        map(domain);
        break;
    case UNMAP:
        unmap(domain);
        break;
    case WRONG:
        wrong(domain);
        break;
    case COPY:
        copy(domain);
        break;
    case GROW:
        grow(domain);
        break;
    default:
        break;
    }
    rest();
}

/* Who asked for too much ends, and all others fit together. */
static void look(void)
{
    struct domain_seen seen;

    for ( unsigned int d = 0; d < DOMAINS; d++ )
        if ( !atomic_load(&paused[d]) && SIDE.see_domain(domids[d], &seen) && seen.crashed )
        {
            fprintf(stderr, "d%u crashed\n", domids[d]);
            end(d);
        }
    if ( !SIDE.at_rest() )
        atomic_store(&failed, true);
    over = failed;
}

static void *live(void *seed)
{
    self = (uintptr_t)seed % THREADS;
    dice = (uintptr_t)seed;
    for ( unsigned long round = 0; round < rounds; round++ )
    {
        for ( unsigned int i = 0; i < ROUND; i++ )
            take();
        pthread_barrier_wait(&stop);
        if ( !self )
            look();
        pthread_barrier_wait(&stop);
        if ( over )
            break;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    struct machine_seen seen;
    unsigned long seed;

    if ( argc != 4 || !(mix = mix_named(argv[1])) )
        return 2;
    seed = strtoul(argv[2], NULL, 0);
    rounds = strtoul(argv[3], NULL, 0) / THREADS / ROUND;
    SIDE.reset();
    SIDE.fast_maptrack(mix->fast);
    SIDE.bus_region(mix->bus);
    SIDE.preempt_every(mix->preempt);
    pthread_barrier_init(&stop, NULL, THREADS);
    for ( unsigned int d = 0; d < DOMAINS; d++ )
        create(d);
    for ( uintptr_t t = 0; t < THREADS; t++ )
        pthread_create(&threads[t], NULL, live, (void *)(seed * THREADS + t));
    for ( unsigned int t = 0; t < THREADS; t++ )
        pthread_join(threads[t], NULL);

    for ( unsigned int d = 0; d < DOMAINS; d++ )
        if ( !paused[d] )
            end(d);
    if ( !SIDE.at_rest() )
        failed = true;
    SIDE.see_machine(&seen);
    if ( seen.domains || seen.xen_pages )
    {
        fprintf(stderr, "left: %lu domains, %lu of Xen's pages\n", seen.domains, seen.xen_pages);
        failed = true;
    }
    for ( unsigned int what = 0; what < NR_OPERATIONS; what++ )
        for ( unsigned int status = 0; status < 32; status++ )
        {
            unsigned long n = 0;

            for ( unsigned int t = 0; t < THREADS; t++ )
                n += tallies[t][what][status];
            if ( n )
                printf("%s %d %lu\n", operation_names[what], -(int)status, n);
        }
    return failed;
}
