/*
 * Environment of a driver's page table code, and one domain.  Functions behave as in Xen; frames.c
 * has the frames that tables are allocated from.
 */
/* Not reformatted: most of it is one-line macros. */
/* clang-format off */
#ifndef MACHINE_H
#define MACHINE_H

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../assertions.h"

typedef uint64_t u64, paddr_t;
#define daddr_t uint64_t            /* the C library has a type of this name */
#define __must_check
#define PAGE_SHIFT 12
#define PAGE_SIZE 4096UL
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define PAGE_MASK_4K PAGE_MASK
#define PAGE_SIZE_4K PAGE_SIZE
#define PAGE_SIZE_2M (1UL << 21)
#define PADDR_BITS 52
#define PADDR_MASK ((1UL << PADDR_BITS) - 1)
#define MASK_EXTR(v, m) (((v) & (m)) / ((m) & -(m)))
#define MASK_INSR(v, m) (((v) * ((m) & -(m))) & (m))
#define ffs(x) __builtin_ffs(x)
#define ffsl(x) __builtin_ffsl(x)
#define clear_page(p) memset(p, 0, PAGE_SIZE)
#define write_atomic(p, v) ((void)(*(p) = (v)))
#define smp_wmb() __asm__ volatile ( "" ::: "memory" )
#define perfc_incr(what) ((void)0)
#define printk(...) ((void)0)
#define XENLOG_G_WARNING
#define XFREE(p) ((void)(free(p), (p) = NULL))

#define TYPE_SAFE(type, name) \
    typedef struct { type frame; } name##_t; \
    static inline name##_t _##name(type n) { return (name##_t){ n }; } \
    static inline type name##_x(name##_t n) { return n.frame; }
TYPE_SAFE(unsigned long, mfn)
TYPE_SAFE(uint64_t, dfn)
#define INVALID_DFN _dfn(~0ULL)
#define PRI_dfn PRIx64
static inline bool dfn_eq(dfn_t a, dfn_t b) { return a.frame == b.frame; }
#define dfn_to_daddr(dfn) (dfn_x(dfn) << PAGE_SHIFT)
#define mfn_to_maddr(mfn) (mfn_x(mfn) << PAGE_SHIFT)
#define maddr_to_mfn(maddr) _mfn((maddr) >> PAGE_SHIFT)

#define IOMMUF_order(n)  ((n) & 0x3f)
#define IOMMUF_readable  (1u << 6)
#define IOMMUF_writable  (1u << 7)
#define IOMMU_FLUSHF_added 1u
#define IOMMU_FLUSHF_modified 2u
#define IOMMU_FLUSHF_all 4u

/* Frames for page tables; data frames have higher numbers. */
enum { FIRST_FRAME = 16, FRAMES = 1 << 15 };

struct page_info {
    enum { UNUSED, TABLE, QUEUED } use;
    bool visited;
    union {
        struct { uint32_t nr; uint16_t used; bool kept; } leaf_table;
    } u;
};

extern struct page_info pages[FRAMES];
/* Contents of the frames, and as seen by a non-coherent IOMMU. */
extern unsigned char *memory, *iommu_view;

static inline void *map_domain_page(mfn_t mfn)
{
    struct page_info *page = &pages[mfn_x(mfn) - FIRST_FRAME];

    BUG_ON(mfn_x(mfn) - FIRST_FRAME >= FRAMES || page->use == UNUSED);
    return memory + ((mfn_x(mfn) - FIRST_FRAME) << PAGE_SHIFT);
}

#define unmap_domain_page(p) ((void)(p))
#define map_vtd_domain_page(maddr) map_domain_page(maddr_to_mfn(maddr))
#define unmap_vtd_domain_page(p) ((void)(p))
#define mfn_to_page(mfn) (&pages[mfn_x(mfn) - FIRST_FRAME])
#define page_to_mfn(page) _mfn((unsigned long)((page) - pages) + FIRST_FRAME)
#define page_to_maddr(page) mfn_to_maddr(page_to_mfn(page))
#define maddr_to_page(maddr) mfn_to_page(maddr_to_mfn(maddr))
#define __map_domain_page(page) map_domain_page(page_to_mfn(page))
static inline void iommu_sync_cache(const void *p, size_t size)
{
    size_t first = ((const unsigned char *)p - memory) & ~63UL;
    size_t end = ((const unsigned char *)p - memory + size + 63) & ~63UL;

    memcpy(iommu_view + first, memory + first, end - first);
}

/* Page lists are represented by page_info.use. */
struct page_list_head { char unused; };
#define page_list_add(page, list) ((void)(page), (void)(list))
#define page_list_del(page, list) ((void)(page), (void)(list))
#define page_list_add_tail(page, list) queue_table(page)
#define page_list_remove_head(list) next_table()
#define smp_processor_id() 0
#define per_cpu(what, cpu) (cpu)
#define tasklet_schedule(tasklet) ((void)(tasklet))
typedef struct { bool held; } spinlock_t;
static inline void spin_lock(spinlock_t *lock) { BUG_ON(lock->held); lock->held = true; }
static inline void spin_unlock(spinlock_t *lock) { BUG_ON(!lock->held); lock->held = false; }
#define spin_is_locked(lock) ((lock)->held)
#define spin_barrier(lock) BUG_ON(spin_is_locked(lock))
#define general_preempt_check() false
#define ERESTART 85

struct domain;
struct page_info;
struct iommu_ops {
    unsigned long page_sizes;
    bool flush_non_present;
    uint64_t leaf_pte, leaf_pte_writable;
    struct page_info *(*get_leaf_table)(struct domain *d, dfn_t dfn, bool alloc);
    void (*free_pgtable)(struct domain *d, dfn_t dfn, unsigned int level, struct page_info *pg,
                         unsigned int *flush_flags);
    void (*clear_root_pgtable)(struct domain *d);
};
extern struct iommu_ops iommu_ops;
#define iommu_call(ops, hook, ...) ((ops)->hook(__VA_ARGS__))
#define iommu_vcall iommu_call
struct domain_iommu {
    const struct iommu_ops *platform_ops;
    struct {
        spinlock_t mapping_lock;
        struct { struct page_list_head list; spinlock_t lock; } pgtables;
        struct page_info **kept_tables, *last_table;
        unsigned int nr_kept_tables;
        struct { uint64_t pgd_maddr; unsigned int agaw; } vtd;
        struct { unsigned int paging_mode; struct page_info *root_table; } amd;
    } arch;
};
struct domain {
    struct domain_iommu iommu;
    bool is_dying, crashed;
};
#define dom_iommu(d) (&(d)->iommu)
#define domain_crash(d) ((void)((d)->crashed = true))
#define is_hardware_domain(d) false
#define iommu_use_hap_pt(d) false
#define iommu_hwdom_passthrough false
#define is_iommu_enabled(d) true
#define need_iommu_pt_sync(d) true
#define iommu_snoop true
#define min_pt_levels 4

struct page_info *alloc_domheap_page(struct domain *d, unsigned int flags);
void free_domheap_page(struct page_info *page);
void queue_table(struct page_info *page);
struct page_info *next_table(void);
int iommu_iotlb_flush(struct domain *d, dfn_t dfn, unsigned long nr, unsigned int flush_flags);
int iommu_iotlb_flush_all(struct domain *d, unsigned int flush_flags);
#define xzalloc_array(type, nr) ((type *)zalloc(sizeof(type) * (nr)))
void *zalloc(size_t size);
int printk_ratelimit(void);
extern unsigned int messages;
#define AMD_IOMMU_ERROR(...) ((void)messages++)
#define dom_io NULL

/* The driver. */
int map_page(struct domain *d, dfn_t dfn, mfn_t mfn, unsigned int flags, unsigned int *flush_flags);
int unmap_page(struct domain *d, dfn_t dfn, unsigned int order, unsigned int *flush_flags);
int map_transient(struct domain *d, dfn_t dfn, mfn_t mfn, bool writable);
unsigned int unmap_transient(struct domain *d, const dfn_t *dfns, unsigned int nr);
int free_tables(struct domain *d);
void begin_tables(struct domain *d);
/* Whether the IOMMU is coherent. */
extern const bool coherent;
/* Whether an entry is present; and the table it points to, NULL if it maps a frame. */
bool entry_used(uint64_t entry);
struct page_info *entry_table(uint64_t entry, unsigned int level);
/* Frame and IOMMUF_* flags of an entry that maps a frame. */
mfn_t entry_frame(uint64_t entry, unsigned int *flags);
struct page_info *root_table(const struct domain *d);
enum { LEVELS = 4 };

#endif
