/* Actions of guests: hypercalls and writes to their own grant tables. */

static __thread struct {
    bool pending;
    unsigned int command, count;
    XEN_GUEST_HANDLE(void) requests;
} continuation;

static long hypercall_create_continuation(unsigned int op, const char *format, unsigned int command,
                                          XEN_GUEST_HANDLE_PARAM(void) uop, unsigned int count)
{
    continuation.pending = true;
    continuation.command = command;
    continuation.requests = uop;
    continuation.count = count;
    return -ERESTART;
}

static long operate(unsigned int command, void *requests, unsigned int count)
{
    long rc;

    continuation.command = command;
    continuation.requests.p = requests;
    continuation.count = count;
    do
    {
        continuation.pending = false;
        enter_hypervisor();
        rc = do_grant_table_op(continuation.command, continuation.requests, continuation.count);
        leave_hypervisor();
    } while ( continuation.pending );
    return rc;
}

static void enter(unsigned int domid, unsigned int vcpu, unsigned int cpu)
{
    struct domain *d = find_domain(domid);

    BUG_ON(!d || vcpu >= d->max_vcpus || cpu >= MAX_CPUS);
    current = d->vcpu[vcpu];
    this_cpu = cpu;
    if ( !test_bit(cpu, &d->dirty_cpumask) )
        set_bit(cpu, &d->dirty_cpumask);
}

static void leave(void)
{
    current = NULL;
}

static bool destroy_step(unsigned int domid)
{
    struct domain *d = find_domain(domid);
    bool done;

    if ( !d )
        return true;
    enter_hypervisor();
    done = destroy_domain_step(d);
    leave_hypervisor();
    return done;
}

static uint64_t gfn_of(unsigned int domid, unsigned int page)
{
    struct domain *d = find_domain(domid);

    return d->translated ? page : mfn_x(page_to_mfn(own_page(d, page)));
}

static uint64_t pte_address(unsigned int domid, unsigned int entry)
{
    struct domain *d = find_domain(domid);

    return mfn_to_maddr(page_to_mfn(own_page(d, RAM_PAGES))) + entry * sizeof(l1_pgentry_t);
}

/* As a CPU's page walk: locked, and only while the entry is present. */
static bool access_page(unsigned int domid, unsigned int entry, bool write)
{
    const struct domain *d = find_domain(domid);
    l1_pgentry_t *pte;
    uint64_t old;

    if ( !d || d->translated )
        return false;
    pte = l1_entry(d, entry);
    old = __atomic_load_n(&pte->l1, __ATOMIC_ACQUIRE);
    do
    {
        if ( !(old & _PAGE_PRESENT) )
            return false;
        if ( !(old & _PAGE_RW) )
            write = false;
    } while ( !__atomic_compare_exchange_n(&pte->l1, &old,
                                           old | _PAGE_ACCESSED | (write ? _PAGE_DIRTY : 0), false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) );
    return true;
}

static void *page_of(unsigned int domid, unsigned int page)
{
    return frame_of(page_to_mfn(own_page(find_domain(domid), page)));
}

/* A guest's accesses to its own memory are not checked for races. */
#define unchecked __attribute__((no_sanitize("thread")))

static unchecked bool has_entry(struct grant_table *gt, uint32_t ref)
{
    unsigned int per_page = gt->gt_version == 1 ? SHGNT_PER_PAGE_V1 : SHGNT_PER_PAGE_V2;

    return ref < (uint64_t)gt->nr_grant_frames * per_page;
}

/* As in Linux: the flags are written last. */
static unchecked bool grant(unsigned int domid, uint32_t ref, unsigned int flags, unsigned int to,
                            uint64_t gfn)
{
    struct grant_table *gt = find_domain(domid)->grant_table;

    if ( !has_entry(gt, ref) )
        return false;
    if ( gt->gt_version == 1 )
    {
        grant_entry_v1_t *entry = &shared_entry_v1(gt, ref);

        entry->frame = gfn;
        entry->domid = to;
        write_atomic(&entry->flags, flags);
    }
    else
    {
        grant_entry_v2_t *entry = &shared_entry_v2(gt, ref);

        entry->full_page.frame = gfn;
        entry->hdr.domid = to;
        write_atomic(&entry->hdr.flags, flags);
    }
    return true;
}

static unchecked bool revoke(unsigned int domid, uint32_t ref)
{
    struct grant_table *gt = find_domain(domid)->grant_table;

    if ( !has_entry(gt, ref) )
        return false;
    if ( gt->gt_version == 1 )
    {
        uint16_t *flags = &shared_entry_v1(gt, ref).flags;
        uint16_t was = read_atomic(flags);

        return !(was & (GTF_reading | GTF_writing)) &&
               __atomic_compare_exchange_n(flags, &was, 0, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_RELAXED);
    }
    else
    {
        uint16_t *flags = &shared_entry_v2(gt, ref).hdr.flags, was = read_atomic(flags);

        write_atomic(flags, 0);
        smp_mb();
        if ( !(read_atomic(&status_entry(gt, ref)) & (GTF_reading | GTF_writing)) )
            return true;
        write_atomic(flags, was);
        return false;
    }
}

/* Map a grant table frame as XENMEM_add_to_physmap does, and hold a reference to it. */
static int hold_frame(unsigned int domid, unsigned long index, uint64_t *frame)
{
    struct domain *d = domains.by_id[domid];
    mfn_t mfn;
    int rc;

    enter_hypervisor();
    rc = gnttab_map_frame_begin(d, index, _gfn(0), &mfn);
    if ( !rc )
    {
        *frame = mfn_x(mfn);
        report_event("map table frame", *frame);
        BUG_ON(!get_page(mfn_to_page(mfn), d));
        gnttab_map_frame_end(d, mfn);
    }
    leave_hypervisor();
    return rc;
}

static void drop_frame(uint64_t frame)
{
    put_page(mfn_to_page(_mfn(frame)));
}

#ifdef EVENTS
static int (*event_handler)(const char *name, uint64_t subject);

/* The handler may act as another CPU; the state of this one is restored afterwards. */
static int report_event(const char *name, uint64_t subject)
{
    struct vcpu *v = current;
    unsigned int cpu = this_cpu;
    int locks = locks_held, domains_found = domains_locked, rc;

    if ( !event_handler )
        return 0;
    locks_held = 0;
    domains_locked = 0;
    interrupted++;
    rc = event_handler(name, subject);
    interrupted--;
    current = v;
    this_cpu = cpu;
    locks_held = locks;
    domains_locked = domains_found;
    return rc;
}

static void set_event_handler(int (*handler)(const char *name, uint64_t subject))
{
    event_handler = handler;
}
#endif

/* Free a domain's records of mappings without releasing the mappings. */
static void forget_mappings(struct grant_table *gt)
{
    for ( ; gt->maptrack_limit; gt->maptrack_limit -= MAPTRACK_PER_PAGE )
        free_xenheap_page(gt->maptrack[nr_maptrack_frames(gt) - 1]);
    radix_tree_destroy(&gt->maptrack_tree, NULL);
#ifdef HANDLE_fast
    FREE_XENHEAP_PAGE(gt->granters);
#endif
}

static void reset(void)
{
    this_cpu = 0;
    reset_domains();
    reset_memory();
    radix_tree_init_maxindex();
    memset(grant_rwlock, 0, sizeof(grant_rwlock));
}

static void fast_maptrack(bool enabled)
{
#ifdef HANDLE_fast
    opt_fast_maptrack = enabled;
#endif
}

static void batch_flush(bool enabled)
{
#ifdef HANDLE_fast
    opt_batch_flush = enabled;
#endif
}

static void skip_flush(bool enabled)
{
#ifdef HANDLE_fast
    opt_gnttab_skip_flush = enabled;
#endif
}

static void fail_allocations(long after)
{
    xen_pages.allocations_left = after;
}

static void set_preempt_every(unsigned int requests)
{
    preempt_every = requests;
}
