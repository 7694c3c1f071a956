/* L1 page tables of PV guests, the p2m of translated guests, and legacy IOMMU mappings. */

static inline struct page_info *own_page(const struct domain *d, unsigned int n)
{
    return &frame_table[d->slot * DOMAIN_PAGES + n];
}

static inline l1_pgentry_t *l1_entry(const struct domain *d, unsigned int entry)
{
    return (l1_pgentry_t *)frame_of(page_to_mfn(own_page(d, RAM_PAGES))) + entry;
}

static l1_pgentry_t *map_guest_l1e(unsigned long linear, mfn_t *gl1mfn)
{
    const struct domain *d = current->domain;
    unsigned long entry = (linear - LINEAR_BASE) >> PAGE_SHIFT;

    if ( linear < LINEAR_BASE || entry >= ENTRIES )
        return NULL;
    *gl1mfn = page_to_mfn(own_page(d, RAM_PAGES + entry / 512));
    return l1_entry(d, entry);
}

static struct page_info *get_page_from_mfn(mfn_t mfn, const struct domain *d)
{
    struct page_info *page;

    if ( !mfn_valid(mfn) )
        return NULL;
    page = mfn_to_page(mfn);
    return get_page(page, d) ? page : NULL;
}

static bool page_lock(struct page_info *page)
{
    report_event("lock &page->lock", (uintptr_t)&page->lock);
    acquire_ticket(&page->lock);
    return true;
}

static void page_unlock(struct page_info *page)
{
    spin_unlock(&page->lock);
}

/* Whether a guest has overwritten the PTE of a grant mapping, whose pin then outlives the PTE. */
static bool mappings_overwritten;

/* A PTE was removed other than by unmapping the grant. */
static void put_page_from_l1e(l1_pgentry_t l1e, struct domain *owner)
{
    struct page_info *page;

    if ( !(l1e_get_flags(l1e) & _PAGE_PRESENT) || is_iomem_page(l1e_get_mfn(l1e)) )
        return;
    if ( (l1e_get_flags(l1e) & _PAGE_GNTTAB) && !owner->is_dying )
        mappings_overwritten = true;
    page = mfn_to_page(l1e_get_mfn(l1e));
    if ( (l1e_get_flags(l1e) & _PAGE_RW) &&
         (owner == page->owner || !paging_mode_external(page->owner)) )
        put_page_type(page);
    put_page(page);
}

/* The PTE of a grant mapping was removed: a CPU that has accessed the page may hold it. */
static void leave_pte_in_tlb(l1_pgentry_t old)
{
    if ( l1e_get_flags(old) & _PAGE_ACCESSED )
        leave_in_tlb(current->domain->tlb, l1e_get_mfn(old), l1e_get_flags(old) & _PAGE_RW);
}

static inline uint64_t exchange_pte(uint64_t *pte, uint64_t new)
{
    l1_pgentry_t old;

    report_event("exchange PTE", (uintptr_t)pte);
    old.l1 = __atomic_exchange_n(pte, new, __ATOMIC_SEQ_CST);
    leave_pte_in_tlb(old);
    return old.l1;
}

/*
 * As UPDATE_ENTRY() of Xen's debug builds.  Of what a guest maps over, Xen drops the references
 * without a flush, so only what @function unmaps is considered stale.
 */
static inline bool update_pte(l1_pgentry_t *pte, l1_pgentry_t old, l1_pgentry_t new, bool preserve,
                              const char *function)
{
    const uint64_t changing = _PAGE_ACCESSED | _PAGE_DIRTY;
    uint64_t was = old.l1;

    report_event("update PTE", (uintptr_t)pte);
    while ( !__atomic_compare_exchange_n(&pte->l1, &was, new.l1 | (preserve ? was & changing : 0),
                                         false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) )
        if ( (was ^ old.l1) & ~changing )
            return false;
    old.l1 = was;
    if ( !strcmp(function, "replace_grant_pv_mapping") )
        leave_pte_in_tlb(old);
    return true;
}

/* p2m entries of a translated domain: frame and type. */
#define p2m_entry(mfn, type) (mfn_x(mfn) << 8 | (type))
#define p2m_mfn(entry) _mfn((entry) >> 8)
#define p2m_type(entry) ((p2m_type_t)(0xff & (entry)))
#define P2M_ENTRIES (RAM_PAGES + ENTRIES)

static mfn_t look_up_gfn(struct domain *d, unsigned long gfn, p2m_type_t *type)
{
    uint64_t entry;

    if ( !d->translated )
    {
        *type = p2m_ram_rw;
        return _mfn(gfn);
    }
    entry = gfn < P2M_ENTRIES ? __atomic_load_n(&d->p2m[gfn], __ATOMIC_ACQUIRE) : 0;
    *type = p2m_type(entry);
    return entry ? p2m_mfn(entry) : INVALID_MFN;
}

/* The p2m is locked until put_gfn(). */
static mfn_t get_gfn_query(struct domain *d, unsigned long gfn, p2m_type_t *type)
{
    if ( d->translated )
        lock_p2m(d);
    return look_up_gfn(d, gfn, type);
}

static void put_gfn(struct domain *d, unsigned long gfn)
{
    if ( d->translated )
        unlock_p2m(d);
}

/* The p2m is locked. */
static int add_p2m_entry(struct domain *d, gfn_t gfn, mfn_t mfn, p2m_type_t type)
{
    uint64_t old;

    if ( gfn_x(gfn) >= P2M_ENTRIES || report_event("add to p2m", gfn_x(gfn)) )
        return -EINVAL;
    old = __atomic_load_n(&d->p2m[gfn_x(gfn)], __ATOMIC_ACQUIRE);
    /* As in Xen: replacing another domain's page would make its mapping counts wrong. */
    if ( p2m_is_grant(p2m_type(old)) || p2m_is_foreign(p2m_type(old)) )
    {
        domain_crash(d);
        return -EPERM;
    }
    __atomic_store_n(&d->p2m[gfn_x(gfn)], p2m_entry(mfn, type), __ATOMIC_RELEASE);
    return 0;
}

static int p2m_add_page(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order, p2m_type_t type)
{
    int rc;

    lock_p2m(d);
    rc = add_p2m_entry(d, gfn, mfn, type);
    unlock_p2m(d);
    return rc;
}

/* Called between get_gfn_query() and put_gfn(). */
static int p2m_remove_page(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order)
{
    uint64_t old = __atomic_load_n(&d->p2m[gfn_x(gfn)], __ATOMIC_ACQUIRE);

    if ( !mfn_eq(p2m_mfn(old), mfn) || report_event("remove from p2m", gfn_x(gfn)) )
        return -EILSEQ;
    BUG_ON(!p2m_locked_by_me(d));
    __atomic_store_n(&d->p2m[gfn_x(gfn)], 0, __ATOMIC_RELEASE);
    leave_in_tlb(d->tlb, mfn, p2m_type(old) != p2m_grant_map_ro);
    d->p2m_lock.need_flush = true;
    if ( !d->need_iommu )
        return 0;
    leave_in_tlb(d->iotlb, mfn, p2m_type(old) != p2m_grant_map_ro);
    return iotlb_deferred[this_cpu] == d ? 0 : flush_iotlb(d);
}

static int check_get_page_from_gfn(struct domain *d, gfn_t gfn, bool readonly, p2m_type_t *type,
                                   struct page_info **page)
{
    bool lock = d->translated && !p2m_locked_by_me(d);
    struct domain *owner;
    mfn_t mfn;

    *page = NULL;
    if ( lock )
        percpu_read_acquire(p2m_readers, &d->p2m_lock.lock);
    mfn = look_up_gfn(d, gfn_x(gfn), type);
    if ( lock )
        percpu_read_release(p2m_readers, &d->p2m_lock.lock);
    if ( !mfn_valid(mfn) || *type == p2m_invalid )
        return -EINVAL;
    if ( *type == p2m_mmio_direct )
        return -EPERM;
    *page = mfn_to_page(mfn);
    owner = *type == p2m_ram_rw || *type == p2m_ram_ro ? d : (*page)->owner;
    if ( owner && get_page(*page, owner) )
        return 0;
    *page = NULL;
    return -EINVAL;
}

static inline struct page_info *get_page_from_gfn(struct domain *d, unsigned long gfn,
                                                  p2m_type_t *type, unsigned int query)
{
    mfn_t mfn = _mfn(gfn);

    BUG_ON(type || d->translated); /* only where the page's type cannot matter */
    return mfn_valid(mfn) && get_page(mfn_to_page(mfn), d) ? mfn_to_page(mfn) : NULL;
}

/* Strict mode: bus addresses are machine addresses, so all mappings of a frame share an entry. */
static int iommu_legacy_map(struct domain *d, dfn_t dfn, mfn_t mfn, unsigned long nr,
                            unsigned int flags)
{
    BUG_ON(dfn_x(dfn) != mfn_x(mfn) || !mfn_valid(mfn) || nr != 1);
    if ( report_event("IOMMU map", mfn_x(mfn)) )
        return -ENOMEM;
    if ( !__atomic_exchange_n(&d->iommu[mfn_x(mfn) - FIRST_MFN], flags, __ATOMIC_SEQ_CST) )
        __atomic_fetch_add(&d->iommu_mappings, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int iommu_legacy_unmap(struct domain *d, dfn_t dfn, unsigned long nr)
{
    BUG_ON(nr != 1);
    if ( report_event("IOMMU unmap", dfn_x(dfn)) )
        return -EIO;
    BUG_ON(!__atomic_exchange_n(&d->iommu[dfn_x(dfn) - FIRST_MFN], 0, __ATOMIC_SEQ_CST));
    __atomic_fetch_sub(&d->iommu_mappings, 1, __ATOMIC_SEQ_CST);
    return 0;
}
