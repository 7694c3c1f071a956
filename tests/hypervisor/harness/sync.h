/*
 * Memory ordering, speculation barriers and locks, implemented as in Xen on x86, so that counts and
 * races are those of Xen; under ThreadSanitizer, with operations it understands.
 */
/* Not reformatted: most of it is one-line macros. */
/* clang-format off */
#ifndef SYNC_H
#define SYNC_H

#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif

#ifdef RANDOM_DELAY
/* With more threads than CPUs, the lock holder may not be running. */
#include <sched.h>
#include <time.h>
#define cpu_relax() ((void)sched_yield())

/*
 * Delay at random, so that other threads run in between: rarely by a sleep, sometimes by a short
 * loop.  It sleeps because sched_yield() may return to the calling thread: on a machine with other load, which runs one thread at a time,
 * the other threads would then hardly ever run in between.
 */
static inline void random_delay(void)
{
    static __thread uint32_t state;

    state = state * 1664525 + 1013904223 + (uint32_t)(uintptr_t)&state;
    if ( !(state >> 22) )
        nanosleep(&(struct timespec){ .tv_nsec = 1 }, NULL);
    else if ( !(state >> 26) )
        for ( unsigned int n = state >> 18 & 0x3f; n; n-- )
            __builtin_ia32_pause();
}
#else
#define cpu_relax() __builtin_ia32_pause()
#define random_delay() do { } while (0)
#endif

/*
 * Report an event to the handler set with set_event_handler() (hypervisor.h): for tests of
 * ordering, of interleavings with other CPUs and of failing operations.  Without EVENTS, events do
 * nothing.
 */
#ifdef EVENTS
static int report_event(const char *name, uint64_t subject);
#elif defined(RANDOM_DELAY)
static inline int report_event(const char *name, uint64_t subject) { random_delay(); return 0; }
#else
static inline int report_event(const char *name, uint64_t subject) { return 0; }
#endif

/*
 * x86 keeps stores in order and loads in order, so read and write barriers are compiler barriers.
 * In C11 terms, each load is an acquire and each store a release operation.
 */
#define barrier() __asm__ volatile ( "" ::: "memory" )
#define smp_rmb() do { barrier(); random_delay(); } while (0)
#define smp_wmb() do { barrier(); report_event("write barrier", 0); } while (0)
#define ACCESS_ONCE(x) (*(volatile __typeof__(x) *)&(x))
#define read_atomic(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define write_atomic(p, v) \
    do \
    { \
        __atomic_store_n(p, v, __ATOMIC_RELEASE); \
        report_event("atomic write", (uintptr_t)(p)); \
    } while ( 0 )

#ifdef TSAN
#define smp_mb() ((void)__atomic_fetch_add(&fence_here, 0, __ATOMIC_SEQ_CST))
static __thread int fence_here;
#define stop_speculation() barrier()
#else
#define smp_mb() __asm__ volatile ( "lock; addl $0, -4(%%rsp)" ::: "memory", "cc" )
#define stop_speculation() __asm__ volatile ( "lfence" ::: "memory" )
#endif
#define block_speculation() \
    do { report_event("block speculation", 0); stop_speculation(); } while (0)
#define block_lock_speculation() block_speculation()
#define evaluate_nospec(condition) \
    ({ bool met_ = (condition); if ( met_ ) block_speculation(); else block_speculation(); met_; })
#define array_index_nospec(index, size) \
    ({ \
        unsigned long i_ = (index), mask_; \
        report_event("index", i_); \
        __asm__ volatile ( "cmp %[s], %[i]; sbb %[m], %[m]" \
                           : [m] "=r" (mask_) : [s] "g" ((unsigned long)(size)), [i] "r" (i_) \
                           : "cc" ); \
        (__typeof__(index))(i_ & mask_); \
    })

typedef struct { int counter; } atomic_t;
#define atomic_read(v) __atomic_load_n(&(v)->counter, __ATOMIC_ACQUIRE)
#define atomic_inc(v) ((void)__atomic_fetch_add(&(v)->counter, 1, __ATOMIC_SEQ_CST))
#define atomic_dec(v) ((void)__atomic_fetch_sub(&(v)->counter, 1, __ATOMIC_SEQ_CST))

/* The CPU of this thread, set by enter(). */
static __thread unsigned int this_cpu;
/* Number of locks this thread holds; 0 at the end of a hypercall. */
static __thread int locks_held;

#ifdef COUNT
#define count_lock(name, lock) count_lock_kind(name, lock)
static void count_lock_kind(const char *name, const void *lock);
#else
#define count_lock(name, lock) do { } while (0)
#endif

/* spinlock.h: a ticket lock of 4 bytes */
typedef union {
    uint32_t both;
    struct { uint16_t head, tail; };
} spinlock_t;

#define spin_lock_init(l) ((void)((l)->both = 0))

static inline void acquire_ticket(spinlock_t *lock)
{
    uint32_t got = __atomic_fetch_add(&lock->both, 1U << 16, __ATOMIC_ACQUIRE);

    while ( __atomic_load_n(&lock->head, __ATOMIC_ACQUIRE) != (uint16_t)(got >> 16) )
        cpu_relax();
    locks_held++;
}

static inline bool try_ticket(spinlock_t *lock)
{
    spinlock_t was = { __atomic_load_n(&lock->both, __ATOMIC_RELAXED) };

    if ( was.head != was.tail ||
         !__atomic_compare_exchange_n(&lock->both, &was.both, was.both + (1U << 16), false,
                                      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED) )
        return false;
    locks_held++;
    return true;
}

/* Only the holder writes the head, so no atomic operation is needed. */
static inline void release_ticket(spinlock_t *lock)
{
    uint16_t head = __atomic_load_n(&lock->head, __ATOMIC_RELAXED);

    BUG_ON(head == __atomic_load_n(&lock->tail, __ATOMIC_RELAXED));
    locks_held--;
    __atomic_store_n(&lock->head, head + 1, __ATOMIC_RELEASE);
}

static inline bool spin_is_locked(const spinlock_t *lock)
{
    return __atomic_load_n(&lock->head, __ATOMIC_ACQUIRE) !=
           __atomic_load_n(&lock->tail, __ATOMIC_ACQUIRE);
}

/* Wait until the current holder has released the lock. */
static inline void spin_barrier(spinlock_t *lock)
{
    uint16_t head = __atomic_load_n(&lock->head, __ATOMIC_ACQUIRE);

    smp_mb();
    if ( head != __atomic_load_n(&lock->tail, __ATOMIC_ACQUIRE) )
        while ( __atomic_load_n(&lock->head, __ATOMIC_ACQUIRE) == head )
            cpu_relax();
    smp_mb();
}

#define spin_lock(l) \
    do { \
        count_lock(#l, l); \
        report_event("lock " #l, (uintptr_t)(l)); \
        acquire_ticket(l); \
        block_lock_speculation(); \
    } while (0)
/* With events, the handler can make it fail. */
#define spin_trylock(l) \
    ({ \
        bool taken_ = !report_event("try " #l, (uintptr_t)(l)) && try_ticket(l); \
        if ( taken_ ) \
            count_lock(#l, l); \
        block_lock_speculation(); \
        taken_; \
    })
#define spin_unlock(l) \
    do { release_ticket(l); report_event("unlock " #l, (uintptr_t)(l)); } while (0)
#define nrspin_lock(l) spin_lock(l)
#define nrspin_unlock(l) spin_unlock(l)

/*
 * rwlock.h: a reader stores the lock's address in a variable of its CPU; a writer waits for all
 * CPUs.  A reader writes to the lock itself only if there is a writer or if it holds another of
 * these locks.
 */
typedef struct {
    int32_t readers;            /* -1: locked by a writer */
    bool writer_activating;
} percpu_rwlock_t;

struct percpu_readers { _Alignas(64) percpu_rwlock_t *reads; };
#define DEFINE_PERCPU_RWLOCK_GLOBAL(name) struct percpu_readers name[MAX_CPUS]
#define percpu_rwlock_resource_init(l, owner) ((void)(*(l) = (percpu_rwlock_t){ 0 }))

static inline void slow_read_lock(percpu_rwlock_t *lock)
{
    for ( ; ; cpu_relax() )
    {
        int32_t readers = __atomic_load_n(&lock->readers, __ATOMIC_RELAXED);

        if ( readers >= 0 &&
             __atomic_compare_exchange_n(&lock->readers, &readers, readers + 1, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED) )
            return;
    }
}

static inline void slow_read_unlock(percpu_rwlock_t *lock)
{
    BUG_ON(__atomic_fetch_sub(&lock->readers, 1, __ATOMIC_SEQ_CST) <= 0);
}

static always_inline void percpu_read_acquire(struct percpu_readers *cpus, percpu_rwlock_t *lock)
{
    percpu_rwlock_t **slot = &cpus[this_cpu].reads;

    BUG_ON(*slot == lock);
    locks_held++;
    if ( unlikely(*slot) )
    {
        slow_read_lock(lock);
        return;
    }
    __atomic_store_n(slot, lock, __ATOMIC_RELAXED);
    smp_mb();
    if ( unlikely(__atomic_load_n(&lock->writer_activating, __ATOMIC_ACQUIRE)) )
    {
        __atomic_store_n(slot, NULL, __ATOMIC_RELEASE);
        slow_read_lock(lock);
        __atomic_store_n(slot, lock, __ATOMIC_RELAXED);
        slow_read_unlock(lock);
    }
}

static inline void percpu_read_release(struct percpu_readers *cpus, percpu_rwlock_t *lock)
{
    percpu_rwlock_t **slot = &cpus[this_cpu].reads;

    locks_held--;
    if ( unlikely(*slot != lock) )
        slow_read_unlock(lock);
    else
        __atomic_store_n(slot, NULL, __ATOMIC_RELEASE);
}

static inline void percpu_write_acquire(struct percpu_readers *cpus, percpu_rwlock_t *lock)
{
    for ( ; ; cpu_relax() )
    {
        int32_t none = 0;

        if ( __atomic_compare_exchange_n(&lock->readers, &none, -1, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED) )
            break;
    }
    locks_held++;
    __atomic_store_n(&lock->writer_activating, true, __ATOMIC_RELEASE);
    smp_mb();
    for ( unsigned int cpu = 0; cpu < MAX_CPUS; cpu++ )
        while ( __atomic_load_n(&cpus[cpu].reads, __ATOMIC_ACQUIRE) == lock )
            cpu_relax();
}

static inline void percpu_write_release(percpu_rwlock_t *lock)
{
    locks_held--;
    __atomic_store_n(&lock->writer_activating, false, __ATOMIC_RELEASE);
    __atomic_store_n(&lock->readers, 0, __ATOMIC_SEQ_CST);
}

#define percpu_read_lock(owner, l) \
    do { \
        count_lock("read " #l, l); \
        report_event("read " #l, (uintptr_t)(l)); \
        percpu_read_acquire(owner, l); \
        block_lock_speculation(); \
    } while (0)
#define percpu_read_unlock(owner, l) \
    do { percpu_read_release(owner, l); report_event("unread " #l, (uintptr_t)(l)); } while (0)
#define percpu_write_lock(owner, l) \
    do { \
        count_lock("write " #l, l); \
        report_event("write " #l, (uintptr_t)(l)); \
        percpu_write_acquire(owner, l); \
        block_lock_speculation(); \
    } while (0)
#define percpu_write_unlock(owner, l) \
    do { percpu_write_release(l); report_event("unwrite " #l, (uintptr_t)(l)); } while (0)

#endif
