/*
 * The machine around grant_table.c: frames with reference and type counts, domains and vCPUs, page
 * tables, p2m and IOMMU.  Frame numbers are the same after each reset, so that two hypervisors can
 * be compared frame by frame after the same operations.
 */
/* Not reformatted: most of it is one-line macros. */
/* clang-format off */
#ifndef MACHINE_H
#define MACHINE_H

/* Frames: first those of each domain slot, then those that Xen allocates. */
#define DOMAIN_PAGES ((unsigned int)(RAM_PAGES + L1_PAGES))
#define GUEST_FRAMES (MAX_DOMAINS * DOMAIN_PAGES)
#define XEN_FRAMES 131072U
#define NR_FRAMES (GUEST_FRAMES + XEN_FRAMES)
#define FIRST_MFN 0x1000UL

/* 32 bytes, two per cache line, as in Xen. */
struct page_info {
    unsigned long list;
    unsigned long count_info;
    struct { struct { unsigned long type_info; } inuse; } u;
    struct domain *owner;
    spinlock_t lock;                /* of a page table; part of type_info in Xen */
};

#define PGC_count_mask 0xffffffUL
#define _PGC_allocated 30
#define PGC_allocated (1UL << _PGC_allocated)
#define PGC_xen_heap (1UL << 31)
#define PGT_count_mask 0xffffffUL
#define PGT_none 0UL
#define PGT_l1_page_table (1UL << 60)
#define PGT_writable_page (7UL << 60)
#define PGT_type_mask (15UL << 60)

/* PTE flags */
#define _PAGE_PRESENT 0x001U
#define _PAGE_RW 0x002U
#define _PAGE_USER 0x004U
#define _PAGE_ACCESSED 0x020U
#define _PAGE_DIRTY 0x040U
#define _PAGE_GLOBAL 0x100U
#define _PAGE_AVAIL 0xe00U
#define _PAGE_GNTTAB (1U << 22)
#define _PAGE_NX (1U << 23)
#define _PAGE_GUEST_KERNEL (1U << 12)
#define PAGE_CACHE_ATTRS 0x098U
#define cacheattr_to_pte_flags(attributes) (((attributes) & 4) << 5 | ((attributes) & 3) << 3)

typedef enum {
    p2m_invalid, p2m_ram_rw, p2m_ram_ro, p2m_map_foreign, p2m_grant_map_rw, p2m_grant_map_ro,
    p2m_mmio_direct,
} p2m_type_t;
#define p2m_is_foreign(type) ((type) == p2m_map_foreign)
#define p2m_is_grant(type) ((type) == p2m_grant_map_rw || (type) == p2m_grant_map_ro)
#define p2m_is_shared(type) false
#define p2m_is_valid(type) ((type) == p2m_ram_rw)
#define PAGE_ORDER_4K 0

struct vcpu {
    _Alignas(64) struct domain *domain;     /* one vCPU per cache line */
    unsigned int vcpu_id;
    spinlock_t maptrack_freelist_lock;
    unsigned int maptrack_head, maptrack_tail;
    /* used by the patched hypervisor only */
    struct {
        unsigned long fast_maps, fast_unmaps, slow_maps, slow_unmaps, flushes, skipped_flushes;
    } gnttab_count;
};

struct grant_table;

struct domain {
    domid_t domain_id;
    unsigned int slot;              /* index of the domain, which determines its frames */
    bool translated, need_iommu, is_shutting_down;
    _Atomic int is_dying;
    int pages;                      /* owned and not freed */
    unsigned int max_pages, tot_pages, extra_pages, max_vcpus;
    spinlock_t page_alloc_lock;
    _Atomic unsigned long dirty_cpumask;
    struct vcpu **vcpu;
    struct grant_table *grant_table;
    struct domain *next_in_list;
    /* Progress of destruction. */
    enum { ALIVE, RELEASING, FREEING, GONE } stage;
    uint64_t *p2m;                  /* by gfn: mfn and type */
    struct {
        percpu_rwlock_t lock;
        unsigned int holder;        /* its CPU + 1; 0: not locked for writing */
        unsigned int depth;
        bool need_flush;
    } p2m_lock;
    struct tlb *tlb, *iotlb;        /* of CPUs; of devices, if they use the p2m */
    uint8_t *iommu;                 /* by frame: IOMMUF_* */
    unsigned int iommu_mappings;    /* number of mapped frames */
    struct bus *bus;                /* if mappings have bus addresses */
};

/* Domains and vCPUs. */
static __thread struct vcpu *current;
/* Owner of I/O memory, of which there is none here. */
static __attribute__((unused)) struct domain domain_io;
#define dom_io (&domain_io)
#define dom_cow ((struct domain *)NULL)
/* A domain cannot be freed during a hypercall here; each thread counts the domains it has locked. */
static __thread int domains_locked;
#define rcu_lock_domain(d) ((void)(d), (void)domains_locked++)
#define rcu_unlock_domain(d) ((void)(d), (void)domains_locked--)
#define rcu_lock_current_domain() (domains_locked++, current->domain)
static struct domain *find_domain(domid_t domid);
static struct domain *rcu_lock_domain_by_id(domid_t domid);
static struct domain *rcu_lock_domain_by_any_id(domid_t domid);
static struct domain *knownalive_domain_from_domid(domid_t domid);
static void domain_crash(struct domain *d);
static bool hypercall_preempt_check(void);
#define paging_mode_external(d) ((d)->translated)
#define paging_mode_translate(d) ((d)->translated)
#define paging_mode_hap(d) ((d)->translated)
/* With events, all domains are in log-dirty mode, so that tests see which pages are marked. */
#ifdef EVENTS
#define paging_mode_log_dirty(d) ((void)(d), true)
#else
#define paging_mode_log_dirty(d) ((void)(d), false)
#endif
#define paging_mark_dirty(d, mfn) ((void)(d), (void)report_event("mark dirty", mfn_x(mfn)))
#define is_pv_32bit_domain(d) ((void)(d), false)
#define is_pv_domain(d) (!(d)->translated)
#define is_hardware_domain(d) ((d)->domain_id == 0)
#define paging_mode_shadow(d) ((void)(d), false)
#define arch_flush_tlb_mask(mask) ((void)(mask), flush_tlb(current->domain))
static void flush_tlb(struct domain *d);
static struct domain *next_domain(unsigned int *slot);
#define for_each_domain(d) \
    for ( unsigned int next_ = 0; ((d) = next_domain(&next_)) != NULL; next_++ )
#define for_each_vcpu(d, v) \
    for ( unsigned int next_ = 0; \
          next_ < (d)->max_vcpus && ((v) = (d)->vcpu[next_]) != NULL; next_++ )
#define rcu_read_lock(lock) ((void)0)
#define rcu_read_unlock(lock) ((void)0)
#define get_random() next_random()
static unsigned int next_random(void);

/* Memory. */
static struct page_info *frame_table;
static unsigned char *frame_contents;
#define mfn_valid(mfn) (mfn_x(mfn) - FIRST_MFN < NR_FRAMES)
#define mfn_to_page(mfn) (&frame_table[mfn_x(mfn) - FIRST_MFN])
#define page_to_mfn(page) _mfn((unsigned long)((page) - frame_table) + FIRST_MFN)
#define frame_of(mfn) ((void *)(frame_contents + ((mfn_x(mfn) - FIRST_MFN) << PAGE_SHIFT)))
#define __virt_to_mfn(p) \
    (((unsigned long)((unsigned char *)(p) - frame_contents) >> PAGE_SHIFT) + FIRST_MFN)
#define virt_to_mfn(p) __virt_to_mfn(p)
#define virt_to_page(p) mfn_to_page(_mfn(__virt_to_mfn(p)))
#define map_domain_page(mfn) frame_of(mfn)
#define unmap_domain_page(p) ((void)(p))
#define is_iomem_page(mfn) (!mfn_valid(mfn))
#define iomem_access_permitted(...) false
static void *alloc_xenheap_page(void);
static void free_xenheap_page(void *p);
#define FREE_XENHEAP_PAGE(p) do { free_xenheap_page(p); (p) = NULL; } while (0)
#define clear_page(p) ((void)memset(p, 0, PAGE_SIZE))
static void *heap_zalloc(size_t size);
#define xvzalloc(type) ((type *)heap_zalloc(sizeof(type)))
#define xvzalloc_array(type, nr) ((type *)heap_zalloc(sizeof(type) * (nr)))
#define xzalloc(type) xvzalloc(type)
#define xvfree(p) free(p)
#define xfree(p) free(p)
#define SHARE_rw 1
static void share_xen_page_with_guest(struct page_info *page, struct domain *d, int flags);
static bool get_page(struct page_info *page, const struct domain *d);
static void put_page(struct page_info *page);
static bool get_page_type(struct page_info *page, unsigned long type);
static void put_page_type(struct page_info *page);
static void put_page_and_type(struct page_info *page);
static void put_page_alloc_ref(struct page_info *page);
static struct domain *page_get_owner_and_reference(struct page_info *page);
#define page_get_owner(page) ((page)->owner)
#define page_set_owner(page, d) ((void)((page)->owner = (d)))

/* Address translation. */
static int check_get_page_from_gfn(struct domain *d, gfn_t gfn, bool readonly, p2m_type_t *type,
                                   struct page_info **page);
#define P2M_ALLOC 1
static inline struct page_info *get_page_from_gfn(struct domain *d, unsigned long gfn,
                                                  p2m_type_t *type, unsigned int query);
static mfn_t get_gfn_query(struct domain *d, unsigned long gfn, p2m_type_t *type);
#define get_gfn_unshare(d, gfn, type) get_gfn_query(d, gfn, type)
static void put_gfn(struct domain *d, unsigned long gfn);
static int p2m_add_page(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order,
                        p2m_type_t type);
static int p2m_remove_page(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order);
static inline void p2m_batch_begin(struct domain *d);
static inline void p2m_batch_end(struct domain *d);
#define mfn_to_gfn(d, mfn) _gfn(mfn_x(mfn))
/* No guest has grant or status frames in its p2m. */
#define get_gpfn_from_mfn(mfn) ((void)(mfn), ~0UL)
#define SHARED_M2P(gpfn) ((void)(gpfn), false)
#define VALID_M2P(gpfn) ((gpfn) != ~0UL)
#define guest_physmap_remove_page(...) (-EINVAL)
#define guest_physmap_add_page(...) (-EINVAL)

typedef struct { uint64_t l1; } l1_pgentry_t;
static l1_pgentry_t *map_guest_l1e(unsigned long linear, mfn_t *gl1mfn);
static struct page_info *get_page_from_mfn(mfn_t mfn, const struct domain *d);
static bool page_lock(struct page_info *page);
static void page_unlock(struct page_info *page);
static void put_page_from_l1e(l1_pgentry_t l1e, struct domain *owner);
#define l1e_empty() ((l1_pgentry_t){ 0 })
#define pte_bits(flags) (((uint64_t)((flags) & 0xfff000) << 40) | ((flags) & 0xfff))
#define l1e_from_mfn(mfn, flags) ((l1_pgentry_t){ mfn_x(mfn) << PAGE_SHIFT | pte_bits(flags) })
#define l1e_get_mfn(e) _mfn((e).l1 >> PAGE_SHIFT & 0xffffffffffUL)
#define l1e_get_flags(e) ((unsigned int)((e).l1 >> 40 & 0xfff000) | (unsigned int)((e).l1 & 0xfff))
#define l1e_get_intpte(e) ((e).l1)
#define l1e_add_flags(e, flags) ((void)((e).l1 |= pte_bits(flags)))
#define l1e_from_intpte(bits) ((l1_pgentry_t){ bits })
static inline uint64_t exchange_pte(uint64_t *pte, uint64_t new);
static inline bool update_pte(l1_pgentry_t *pte, l1_pgentry_t old, l1_pgentry_t new,
                              bool preserve, const char *function);
#define UPDATE_ENTRY(level, p, old, new, mfn, v, preserve) \
    update_pte(p, old, new, preserve, __func__)
/* Only of a page table entry. */
#define xchg(p, new) exchange_pte(p, new)
/* A PV guest's kernel runs in user mode; global entries are those of its user space. */
static inline l1_pgentry_t adjust_guest_l1e(l1_pgentry_t e, const struct domain *d)
{
    e.l1 |= l1e_get_flags(e) & _PAGE_USER ? pte_bits(_PAGE_GLOBAL)
                                          : pte_bits(_PAGE_GUEST_KERNEL | _PAGE_USER);
    return e;
}

#define IOMMUF_readable 1U
#define IOMMUF_writable 2U
#define IOMMU_FLUSHF_added 1U
#define IOMMU_FLUSHF_modified 2U
#define need_iommu_pt_sync(d) ((d)->need_iommu)
/* Address widths of a server, whose IOMMUs translate more bits than its CPUs address. */
#ifndef CPU_BITS
#define CPU_BITS 46
#define IOMMU_BITS 48
#endif
static const unsigned int paddr_bits = CPU_BITS;
static const bool iommu_enabled = true;
#ifndef DOM0_PASSTHROUGH
#define DOM0_PASSTHROUGH false
#endif
static const bool iommu_hwdom_passthrough = DOM0_PASSTHROUGH;
struct iommu_ops { unsigned int addr_width; };
static const struct iommu_ops iommu_ops = { IOMMU_BITS };
#define iommu_get_ops() (&iommu_ops)
static int iommu_legacy_map(struct domain *d, dfn_t dfn, mfn_t mfn, unsigned long nr,
                            unsigned int flags);
static int iommu_legacy_unmap(struct domain *d, dfn_t dfn, unsigned long nr);
static inline int iommu_map_transient(struct domain *d, dfn_t dfn, mfn_t mfn, bool writable);
static inline unsigned int iommu_unmap_transient(struct domain *d, const dfn_t *dfns,
                                                 unsigned int nr);
static inline int iommu_iotlb_flush(struct domain *d, dfn_t dfn, unsigned long nr,
                                    unsigned int flush_flags);
static inline int iommu_iotlb_flush_all(struct domain *d, unsigned int flush_flags);
static inline void iommu_defer_iotlb_flush(struct domain *d);
static inline int iommu_deferred_iotlb_flush(struct domain *d);

/* For GNTTABOP_transfer and cache_flush, which are not tested. */
#define MEMF_no_owner 0
#define MEMF_no_refcount 0
#define MEMF_bits(n) 0
#define steal_page(...) (-EINVAL)
#define assign_pages(...) (-EINVAL)
#define free_domheap_page(page) ((void)(page))
#define alloc_domheap_page(...) NULL
#define copy_domain_page(...) ((void)0)
#define domain_clamp_alloc_bitsize(d, bits) (bits)
#define domain_tot_pages(d) ((d)->tot_pages)
#define domain_adjust_tot_pages(d, by) ((d)->tot_pages += (by))
#define get_knownalive_domain(d) ((void)(d))
#define put_domain(d) ((void)(d))
#define clean_and_invalidate_dcache_va_range(...) (-EOPNOTSUPP)
#define invalidate_dcache_va_range(...) (-EOPNOTSUPP)
#define clean_dcache_va_range(...) (-EOPNOTSUPP)
#define TRC_MEM_PAGE_GRANT_MAP 0
#define TRC_MEM_PAGE_GRANT_UNMAP 0
#define TRC_MEM_PAGE_GRANT_TRANSFER 0

static long hypercall_create_continuation(unsigned int op, const char *format, unsigned int command,
                                          XEN_GUEST_HANDLE_PARAM(void) uop, unsigned int count);
#define __HYPERVISOR_grant_table_op 20
#define XSM_HOOK 0
#define XSM_TARGET 0

/* rcupdate.h for the radix tree, which is used with a lock held. */
struct rcu_head { char unused; };
#define __rcu
#define rcu_dereference(p) (p)
#define rcu_assign_pointer(p, v) ((p) = (v))
#define call_rcu(head, function) ((function)(head))
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))

#endif
