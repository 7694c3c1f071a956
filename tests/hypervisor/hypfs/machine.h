/*
 * Environment of Xen's hypfs and of /gnttab/ in it: a list of domains with references, RCU and
 * guest memory.  At each event another CPU may create or destroy domains.
 */
/* Not reformatted: most of it is one-line macros. */
/* clang-format off */
#ifndef MACHINE_H
#define MACHINE_H

#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../assertions.h"

#define __XEN_TOOLS__ 1
#include <public/xen.h>
#include <public/hypfs.h>

#define CONFIG_HYPFS 1
#define __init
#define __read_mostly
#define always_inline inline __attribute__((always_inline))
#define __initcall(function) static int (*const init_##function)(void) = function

#define container_of(p, type, member) \
    ((type *)((char *)(p) - offsetof(__typeof__(*(type *)0), member)))
#define ROUNDUP(n, to) (((n) + (to) - 1) & ~((to) - 1))
#define IS_ERR(p) ((unsigned long)(p) >= -4095UL)
#define PTR_ERR(p) ((long)(p))
#define ERR_PTR(e) ((void *)(long)(e))
#define simple_strtoul(s, end, base) strtoul(s, (char **)(end), base)
#define read_atomic(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_rmb() __asm__ volatile ( "" ::: "memory" )
#define smp_wmb() smp_rmb()
#define prefetch(p) ((void)(p))
#define LIST_POISON1 NULL
#define LIST_POISON2 NULL
#define xmalloc_array(type, nr) ((type *)malloc(sizeof(type) * (nr)))
#define xzalloc_array(type, nr) ((type *)calloc(nr, sizeof(type)))
#define xfree(p) free(p)
#define XFREE(p) ((void)(free(p), (p) = NULL))
#define smp_processor_id() 0U
#define DEFINE_PER_CPU(type, name) __typeof__(type) name
#define this_cpu(name) name
#define per_cpu(name, cpu) (*((void)(cpu), &(name)))
#define xsm_hypfs_op(who) 0

/* hypfs has a lock of its own, which nothing else acquires. */
#define DEFINE_RWLOCK(name) bool name
#define read_lock(lock) (*(lock) = true)
#define read_unlock(lock) (*(lock) = false)
#define write_lock(lock) read_lock(lock)
#define write_unlock(lock) read_unlock(lock)

/* All other locks. */
static unsigned int locks_held, rcu_depth;
static __attribute__((unused)) bool domlist_update_lock;
#define spin_lock(lock) (*(lock) = true, locks_held++)
#define spin_unlock(lock) (*(lock) = false, locks_held--)

/* Something at which another CPU may run. */
static void event(void);

struct vcpu {
    struct {
        unsigned long fast_maps, fast_unmaps, slow_maps, slow_unmaps, flushes, skipped_flushes;
    } gnttab_count;
};

struct grant_table {
    unsigned int nr_grant_frames, max_grant_frames, maptrack_frames, max_maptrack_frames;
    unsigned long fast_released, slow_released;
};
#define nr_maptrack_frames(gt) ((gt)->maptrack_frames)

struct domain {
    domid_t domain_id;
    unsigned int references;
    struct domain *next_in_list, *next_to_free;
    struct grant_table *grant_table;
    struct vcpu *vcpu;
};

static struct domain *domain_list, *domains_to_free;
static unsigned int domains_allocated;
#define rcu_dereference(p) (p)
#define rcu_read_lock(lock) ((void)rcu_depth++)
#define rcu_read_unlock(lock) do { rcu_depth--; event(); } while (0)
#define for_each_domain(d) \
    for ( (d) = domain_list; (d) != NULL; (d) = (d)->next_in_list )
#define for_each_vcpu(d, v) for ( (v) = (d)->vcpu; (v); (v) = NULL )
#define put_domain(d) if ( !--(d)->references ) domain_destroy(d)

/* Remove a domain from the list.  It is freed when no CPU may be in a reader of RCU. */
static void domain_destroy(struct domain *d)
{
    struct domain **link = &domain_list;

    while ( *link != d )
        link = &(*link)->next_in_list;
    *link = d->next_in_list;
    d->next_to_free = domains_to_free;
    domains_to_free = d;
}

static inline bool get_domain(struct domain *d)
{
    event();
    if ( !d->references )
        return false;
    d->references++;
    return true;
}

static inline struct domain *get_domain_by_id(domid_t domid)
{
    struct domain *d;

    rcu_read_lock(&domlist_read_lock);
    for_each_domain(d)
        if ( d->domain_id == domid )
            break;
    if ( d && !get_domain(d) )
        d = NULL;
    rcu_read_unlock(&domlist_read_lock);
    return d;
}

/* Guest memory: copies must not be made with locks held, and must stay within the buffer. */
static char *guest_begin, *guest_end;
static unsigned long copy_to(char *to, const void *from, size_t size)
{
    if ( locks_held )
        fail("a lock is held while copying to the guest", __LINE__);
    if ( rcu_depth )
        fail("RCU is held off while copying to the guest", __LINE__);
    event();
    if ( to < guest_begin || to + size > guest_end )
        fail("more than the announced size is written to the guest", __LINE__);
    memcpy(to, from, size);
    return 0;
}

#define guest_handle_is_null(handle) (!(handle).p)
#define guest_handle_add_offset(handle, nr) ((handle).p = (char *)(handle).p + (nr))
#define guest_handle_const_cast(handle, type) \
    ((XEN_GUEST_HANDLE_PARAM(const_##type)){ (handle).p })
#define copy_from_guest(to, handle, nr) (memcpy(to, (handle).p, sizeof(*(to)) * (nr)), 0)
#define copy_to_guest_offset(handle, offset, from, nr) \
    copy_to((char *)(handle).p + (offset), from, sizeof(*(from)) * (nr))
#define copy_to_guest(handle, from, nr) copy_to_guest_offset(handle, 0, from, nr)

#include "xen/list.h"
#include "xen/hypfs.h"

#define MAX_PARAM_SIZE 20
struct param_hypfs {
    struct hypfs_entry_leaf hypfs;
    int (*func)(const char *);
};

#endif
