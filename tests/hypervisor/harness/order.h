/*
 * Order of memory accesses, speculation, locks: as Xen has them on x86, so that counts and races are
 * Xen's.  Under ThreadSanitizer they are what it understands.
 */
/* Not reformatted: most of it is one-line macros. */
/* clang-format off */
#ifndef ORDER_H
#define ORDER_H

#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif

#ifdef LINGER
/* With more threads than CPUs, who is waited for may not be running. */
#include <sched.h>
#include <time.h>
#define cpu_relax() ((void)sched_yield())

/*
 * Now and then, where it should not matter, to be overtaken by other threads.  By a sleep, as
 * sched_yield() may return to the thread that called it: on a machine with other work, which runs one
 * thread at a time, the others then hardly ever overtake it.
 */
static inline void linger(void)
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
#define linger() do { } while (0)
#endif

/*
 * What goes on inside, for tests of an order, of what another CPU does meanwhile, and of what can
 * fail: see watch() in hypervisor.h.  Without EVENTS, nothing.
 */
#ifdef EVENTS
static int happens(const char *what, uint64_t about);
#elif defined(LINGER)
static inline int happens(const char *what, uint64_t about) { linger(); return 0; }
#else
static inline int happens(const char *what, uint64_t about) { return 0; }
#endif

/*
 * x86 keeps stores in order, and loads in order: its read and write barriers are the compiler's.  In
 * the terms of C11, each load acquires and each store releases.
 */
#define barrier() __asm__ volatile ( "" ::: "memory" )
#define smp_rmb() do { barrier(); linger(); } while (0)
#define smp_wmb() do { barrier(); happens("write barrier", 0); } while (0)
#define ACCESS_ONCE(x) (*(volatile __typeof__(x) *)&(x))
#define read_atomic(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define write_atomic(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

#ifdef TSAN
#define smp_mb() ((void)__atomic_fetch_add(&fence_here, 0, __ATOMIC_SEQ_CST))
static __thread int fence_here;
#define stop_speculation() barrier()
#else
#define smp_mb() __asm__ volatile ( "lock; addl $0, -4(%%rsp)" ::: "memory", "cc" )
#define stop_speculation() __asm__ volatile ( "lfence" ::: "memory" )
#endif
#define block_speculation() do { happens("block speculation", 0); stop_speculation(); } while (0)
#define block_lock_speculation() block_speculation()
#define evaluate_nospec(condition) \
    ({ bool met_ = (condition); if ( met_ ) block_speculation(); else block_speculation(); met_; })
#define array_index_nospec(index, size) \
    ({ \
        unsigned long i_ = (index), mask_; \
        happens("index", i_); \
        __asm__ volatile ( "cmp %[s], %[i]; sbb %[m], %[m]" \
                           : [m] "=r" (mask_) : [s] "g" ((unsigned long)(size)), [i] "r" (i_) \
                           : "cc" ); \
        (__typeof__(index))(i_ & mask_); \
    })

typedef struct { int counter; } atomic_t;
#define atomic_read(v) __atomic_load_n(&(v)->counter, __ATOMIC_ACQUIRE)
#define atomic_inc(v) ((void)__atomic_fetch_add(&(v)->counter, 1, __ATOMIC_SEQ_CST))
#define atomic_dec(v) ((void)__atomic_fetch_sub(&(v)->counter, 1, __ATOMIC_SEQ_CST))

/* Which CPU this is: each thread is one, and says so when it enters. */
static __thread unsigned int this_cpu;
/* Locks this thread holds: none, at the end of a hypercall. */
static __thread int locks_held;

#ifdef COUNT
#define count_lock(name, lock) note_lock(name, lock)
static void note_lock(const char *name, const void *lock);
#else
#define count_lock(name, lock) do { } while (0)
#endif

/* spinlock.h: tickets, in 4 bytes */
typedef union {
    uint32_t both;
    struct { uint16_t head, tail; };
} spinlock_t;

#define spin_lock_init(l) ((void)((l)->both = 0))

static inline void take_ticket(spinlock_t *lock)
{
    uint32_t got = __atomic_fetch_add(&lock->both, 1U << 16, __ATOMIC_ACQUIRE);

    while ( __atomic_load_n(&lock->head, __ATOMIC_ACQUIRE) != (uint16_t)(got >> 16) )
        cpu_relax();
    locks_held++;
}

/* The holder alone writes the head: no atomic operation is needed. */
static inline void give_ticket(spinlock_t *lock)
{
    uint16_t head = __atomic_load_n(&lock->head, __ATOMIC_RELAXED);

    BUG_ON(head == __atomic_load_n(&lock->tail, __ATOMIC_RELAXED));
    locks_held--;
    __atomic_store_n(&lock->head, head + 1, __ATOMIC_RELEASE);
}

static inline bool spin_is_locked(spinlock_t *lock)
{
    return __atomic_load_n(&lock->head, __ATOMIC_ACQUIRE) !=
           __atomic_load_n(&lock->tail, __ATOMIC_ACQUIRE);
}

/* Wait until whoever has it now has given it back. */
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
        happens("lock " #l, (uintptr_t)(l)); \
        take_ticket(l); \
        block_lock_speculation(); \
    } while (0)
#define spin_unlock(l) \
    do { give_ticket(l); happens("unlock " #l, (uintptr_t)(l)); } while (0)
#define nrspin_lock(l) spin_lock(l)
#define nrspin_unlock(l) spin_unlock(l)

/*
 * rwlock.h: a reader says on its CPU which lock it reads; a writer waits for all of them.  Only a
 * reader that meets a writer, or has another of these locks, writes to the lock.
 */
typedef struct {
    int32_t readers;            /* or -1: a writer */
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
    percpu_rwlock_t **mine = &cpus[this_cpu].reads;

    BUG_ON(*mine == lock);
    locks_held++;
    if ( unlikely(*mine) )
    {
        slow_read_lock(lock);
        return;
    }
    __atomic_store_n(mine, lock, __ATOMIC_RELAXED);
    smp_mb();
    if ( unlikely(__atomic_load_n(&lock->writer_activating, __ATOMIC_ACQUIRE)) )
    {
        __atomic_store_n(mine, NULL, __ATOMIC_RELEASE);
        slow_read_lock(lock);
        __atomic_store_n(mine, lock, __ATOMIC_RELAXED);
        slow_read_unlock(lock);
    }
}

static inline void percpu_read_release(struct percpu_readers *cpus, percpu_rwlock_t *lock)
{
    percpu_rwlock_t **mine = &cpus[this_cpu].reads;

    locks_held--;
    if ( unlikely(*mine != lock) )
        slow_read_unlock(lock);
    else
        __atomic_store_n(mine, NULL, __ATOMIC_RELEASE);
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
        happens("read " #l, (uintptr_t)(l)); \
        percpu_read_acquire(owner, l); \
        block_lock_speculation(); \
    } while (0)
#define percpu_read_unlock(owner, l) \
    do { percpu_read_release(owner, l); happens("unread " #l, (uintptr_t)(l)); } while (0)
#define percpu_write_lock(owner, l) \
    do { \
        count_lock("write " #l, l); \
        happens("write " #l, (uintptr_t)(l)); \
        percpu_write_acquire(owner, l); \
        block_lock_speculation(); \
    } while (0)
#define percpu_write_unlock(owner, l) \
    do { percpu_write_release(l); happens("unwrite " #l, (uintptr_t)(l)); } while (0)

#endif
