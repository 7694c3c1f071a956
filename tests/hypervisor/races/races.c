/*
 * Threads act as vCPUs of several domains at once:
 *
 *     races MIX SEED OPERATIONS
 *
 * Thread t is vCPU t, on CPU t, of the domain it currently acts for, and the only administrator of
 * domain t: its grants, its version switches, its creation and destruction.  At regular intervals
 * all threads stop and the state must be consistent; at the end nothing may be leaked.  SEED
 * determines the requests of each thread, but not how threads interleave.  The program prints how
 * often each kind of operation had each status.  Exit codes: 0 success, 1 inconsistent state, 2
 * usage error.
 */
#include <errno.h>
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
    MAPPINGS = 48,
    PAGES = 6,
    GRANT_FRAMES = 3,
    /* Operations of a thread between two consistency checks. */
    ROUND = 1000,
};

static const unsigned int domids[DOMAINS] = { 0, 1, 2, 0x7fef };
/* Ordinary references, ones that exist only after the table has grown, and reserved ones. */
static const uint32_t refs[] = { 8, 9, 10, 11, 600, 1300, 3, 7, 12 };

/*
 * Mappings of each domain, by address.  Accesses by several threads are relaxed: the test must not
 * order what the hypervisor does not order.
 */
enum { FREE, BUSY, LIVE };
static struct mapping {
    atomic_uint state, flags, handle;
    atomic_ulong bus;
} mappings[DOMAINS][MAPPINGS];

/* The domain each thread acts for, plus 1; destruction of a domain waits for these threads. */
static struct {
    _Alignas(64) atomic_uint domain;
} running[THREADS];
static atomic_bool paused[DOMAINS];

static const struct mix *mix;
static unsigned long rounds;
static atomic_bool failed;
/* Set between rounds, so that all threads stop after the same one. */
static bool stopped;
static pthread_barrier_t barrier;
static unsigned long tallies[THREADS][NR_OPERATIONS][32];
static __thread unsigned int self;
static __thread uint64_t random_state;

static unsigned int random_below(unsigned int below)
{
    /* splitmix64 */
    uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return (uint32_t)(z >> 32) % below;
}

static void report_failure(const char *what, unsigned int domain, long is)
{
    fprintf(stderr, "thread %u: %s of d%u returned %ld\n", self, what, domids[domain], is);
    atomic_store(&failed, true);
}

static void count(enum operation what, long status)
{
    tallies[self][what][status <= 0 && status > -31 ? -status : 31]++;
}

/* Make this thread a vCPU of a domain; false: the domain is being destroyed or does not exist. */
static bool enter_domain(unsigned int domain)
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

static void leave(void)
{
    SIDE.leave();
    atomic_store(&running[self].domain, 0);
}

static bool claim(struct mapping *mapping, unsigned int state)
{
    return atomic_compare_exchange_strong_explicit(&mapping->state, &state, BUSY,
                                                   memory_order_relaxed, memory_order_relaxed);
}

#define load_relaxed(x) atomic_load_explicit(&(x), memory_order_relaxed)
#define store_relaxed(x, value) atomic_store_explicit(&(x), value, memory_order_relaxed)

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

static void destroy(unsigned int d)
{
    atomic_store(&paused[d], true);
    for ( unsigned int t = 0; t < THREADS; t++ )
        while ( atomic_load(&running[t].domain) == d + 1 )
            sched_yield();
    while ( !SIDE.destroy_step(domids[d]) )
        ;
    for ( unsigned int n = 0; n < MAPPINGS; n++ )
        store_relaxed(mappings[d][n].state, FREE);
    count(DESTROY, 0);
}

/* Create a domain again; its domid stays in use while others have its pages mapped. */
static void create_again(unsigned int d)
{
    int rc = create(d);

    if ( rc && rc != -EEXIST )
        report_failure("creation", d, rc);
    count(CREATE, rc);
    if ( !rc )
        atomic_store(&paused[d], false);
}

static void administer(enum operation what)
{
    if ( atomic_load(&paused[self]) )
        create_again(self);
    if ( !enter_domain(self) )
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
    case DESTROY:
        leave();
        destroy(self);
        return;
    default:
        break;
    }
    leave();
}

static void do_operation(void)
{
    unsigned int total = 0, n, domain = random_below(DOMAINS);
    enum operation what;

    for ( what = 0; what < NR_OPERATIONS; what++ )
        total += mix->weights[what];
    n = random_below(total);
    for ( what = 0; n >= mix->weights[what]; what++ )
        n -= mix->weights[what];
    if ( what >= FIRST_ADMINISTERED )
    {
        administer(what);
        return;
    }
    if ( !enter_domain(domain) )
        return;
    switch ( what )
    {
    case MAP:
        map(domain);
        break;
    case UNMAP:
        unmap(domain);
        break;
    case INVALID_UNMAP:
        unmap_invalid(domain);
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
    leave();
}

/* Destroy crashed domains and check the consistency of all others. */
static void check_round(void)
{
    struct domain_state state;

    for ( unsigned int d = 0; d < DOMAINS; d++ )
        if ( !atomic_load(&paused[d]) && SIDE.read_domain(domids[d], &state) && state.crashed )
        {
            fprintf(stderr, "d%u crashed\n", domids[d]);
            destroy(d);
        }
    if ( !SIDE.is_consistent() )
        atomic_store(&failed, true);
    stopped = failed;
}

static void *thread_main(void *seed)
{
    self = (uintptr_t)seed % THREADS;
    random_state = (uintptr_t)seed;
    for ( unsigned long round = 0; round < rounds; round++ )
    {
        for ( unsigned int i = 0; i < ROUND; i++ )
            do_operation();
        pthread_barrier_wait(&barrier);
        if ( !self )
            check_round();
        pthread_barrier_wait(&barrier);
        if ( stopped )
            break;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    struct machine_state state;
    unsigned long seed;

    if ( argc != 4 || !(mix = mix_named(argv[1])) )
        return 2;
    seed = strtoul(argv[2], NULL, 0);
    rounds = strtoul(argv[3], NULL, 0) / THREADS / ROUND;
    SIDE.reset();
    SIDE.fast_maptrack(mix->fast);
    SIDE.bus_region(mix->bus);
    SIDE.skip_flush(mix->skip);
    SIDE.preempt_every(mix->preempt);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for ( unsigned int d = 0; d < DOMAINS; d++ )
        create(d);
    for ( uintptr_t t = 0; t < THREADS; t++ )
        pthread_create(&threads[t], NULL, thread_main, (void *)(seed * THREADS + t));
    for ( unsigned int t = 0; t < THREADS; t++ )
        pthread_join(threads[t], NULL);

    for ( unsigned int d = 0; d < DOMAINS; d++ )
        if ( !paused[d] )
            destroy(d);
    if ( !SIDE.is_consistent() )
        failed = true;
    SIDE.read_machine(&state);
    if ( state.domains || state.xen_pages )
    {
        fprintf(stderr, "leaked: %lu domains, %lu pages of Xen\n", state.domains, state.xen_pages);
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
