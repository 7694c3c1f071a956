/* Domains: lookup, creation, destruction and RCU. */

static struct {
    spinlock_t lock;
    struct domain *by_id[DOMID_FIRST_RESERVED];
    struct domain *by_slot[MAX_DOMAINS]; /* the same domains, for for_each_domain() */
    bool slot_used[MAX_DOMAINS];
    unsigned long alive;
    struct domain *to_free;  /* to be removed from by_id and by_slot */
    struct domain *unhashed; /* to be freed after an RCU grace period */
} domains;

/* Odd while the CPU is in the hypervisor and may use a domain. */
static struct {
    _Alignas(64) unsigned long entered;
} cpus[MAX_CPUS];
/* Hypercalls of this thread that wait for the handler of an event: they prolong the grace period. */
static __thread unsigned int interrupted;
static unsigned int preempt_every;
static __thread unsigned int preempt_left;
static __thread unsigned int random_state;

static struct domain *find_domain(domid_t domid)
{
    return domid < DOMID_FIRST_RESERVED ? __atomic_load_n(&domains.by_id[domid], __ATOMIC_ACQUIRE)
                                        : NULL;
}

static struct domain *rcu_lock_domain_by_id(domid_t domid)
{
    struct domain *d = find_domain(domid);

    if ( d )
        rcu_lock_domain(d);
    return d;
}

static struct domain *rcu_lock_domain_by_any_id(domid_t domid)
{
    return domid == DOMID_SELF ? rcu_lock_current_domain() : rcu_lock_domain_by_id(domid);
}

static struct domain *knownalive_domain_from_domid(domid_t domid)
{
    struct domain *d = find_domain(domid);

    BUG_ON(!d);
    return d;
}

static struct domain *next_domain(unsigned int *slot)
{
    for ( ; *slot < MAX_DOMAINS; ++*slot )
    {
        struct domain *d = __atomic_load_n(&domains.by_slot[*slot], __ATOMIC_ACQUIRE);

        if ( d )
            return d;
    }
    return NULL;
}

static void domain_crash(struct domain *d)
{
    __atomic_store_n(&d->is_shutting_down, true, __ATOMIC_RELAXED);
}

static bool hypercall_preempt_check(void)
{
    if ( !preempt_every || (preempt_left && --preempt_left) )
        return false;
    preempt_left = preempt_every;
    return true;
}

static unsigned int next_random(void)
{
    random_state = random_state * 1103515245 + 12345 + this_cpu;
    return random_state >> 8;
}

/* A page lost its last reference; with its last page, a domain is freed. */
static void last_reference_dropped(struct page_info *page)
{
    struct domain *d = page->owner;

    if ( page - frame_table >= GUEST_FRAMES )
        crash_host("one of Xen's pages lost its last reference", __FILE__, __LINE__);
    if ( !d->is_dying )
        crash_host("a page of a living domain lost its last reference", __FILE__, __LINE__);
    page->owner = NULL;
    if ( __atomic_sub_fetch(&d->pages, 1, __ATOMIC_SEQ_CST) )
        return;

    acquire_ticket(&domains.lock);
    d->next_in_list = domains.to_free;
    __atomic_store_n(&domains.to_free, d, __ATOMIC_RELAXED);
    spin_unlock(&domains.lock);
}

/* Wait until every CPU that is in the hypervisor now has left it once. */
static void wait_for_readers(void)
{
    for ( unsigned int cpu = 0; cpu < MAX_CPUS; cpu++ )
    {
        unsigned long entered = __atomic_load_n(&cpus[cpu].entered, __ATOMIC_SEQ_CST);

        while ( (entered & 1) && cpu != this_cpu &&
                __atomic_load_n(&cpus[cpu].entered, __ATOMIC_SEQ_CST) == entered )
            cpu_relax();
    }
}

static void free_domain(struct domain *d)
{
    grant_table_destroy(d);
    for ( unsigned int i = 0; d->vcpu && i < d->max_vcpus; i++ )
        free(d->vcpu[i]);
    free(d->vcpu);
    free(d->p2m);
    if ( d->iommu )
        munmap(d->iommu, NR_FRAMES);
    destroy_bus(d);
    destroy_tlbs(d);
    acquire_ticket(&domains.lock);
    domains.slot_used[d->slot] = false;
    __atomic_sub_fetch(&domains.alive, 1, __ATOMIC_SEQ_CST);
    spin_unlock(&domains.lock);
    free(d);
}

static void enter_hypervisor(void)
{
    __atomic_fetch_add(&cpus[this_cpu].entered, 1, __ATOMIC_SEQ_CST);
}

static void leave_hypervisor(void)
{
    struct domain *unhashed, *next;

    if ( locks_held )
        crash_host("a lock is still held at the end of a hypercall", __FILE__, __LINE__);
    if ( domains_locked )
        crash_host("a domain is still locked at the end of a hypercall", __FILE__, __LINE__);
    __atomic_fetch_add(&cpus[this_cpu].entered, 1, __ATOMIC_SEQ_CST);

    if ( likely(!__atomic_load_n(&domains.to_free, __ATOMIC_RELAXED)) &&
         (interrupted || likely(!__atomic_load_n(&domains.unhashed, __ATOMIC_RELAXED))) )
        return;
    acquire_ticket(&domains.lock);
    unhashed = domains.unhashed;
    for ( struct domain *d = domains.to_free; d; d = next )
    {
        next = d->next_in_list;
        __atomic_store_n(&domains.by_slot[d->slot], NULL, __ATOMIC_SEQ_CST);
        __atomic_store_n(&domains.by_id[d->domain_id], NULL, __ATOMIC_SEQ_CST);
        d->next_in_list = unhashed;
        unhashed = d;
    }
    __atomic_store_n(&domains.to_free, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&domains.unhashed, interrupted ? unhashed : NULL, __ATOMIC_RELAXED);
    spin_unlock(&domains.lock);
    if ( interrupted )
        return;
    wait_for_readers();
    for ( ; unhashed; unhashed = next )
    {
        next = unhashed->next_in_list;
        free_domain(unhashed);
    }
}

static void reset_domains(void)
{
    for ( unsigned int domid = 0; domains.alive && domid < DOMID_FIRST_RESERVED; domid++ )
        if ( domains.by_id[domid] )
        {
            struct domain *d = domains.by_id[domid];

            /* Its mappings and pages are reset by reset_memory(). */
            if ( d->grant_table )
                forget_mappings(d->grant_table);
            domains.by_id[domid] = NULL;
            free_domain(d);
        }
    /* by_id is empty by now; clearing it would dominate short runs. */
    memset(domains.by_slot, 0, sizeof(domains.by_slot));
    memset(domains.slot_used, 0, sizeof(domains.slot_used));
    domains.alive = 0;
    domains.to_free = domains.unhashed = NULL;
    spin_lock_init(&domains.lock);
    memset(cpus, 0, sizeof(cpus));
    mappings_overwritten = false;
    preempt_every = 0;
    current = NULL;
}

static int create_domain(unsigned int domid, const struct domain_config *config)
{
    struct domain *d;
    int rc = -ENOMEM;
    unsigned int slot;

    if ( domid >= DOMID_FIRST_RESERVED || __atomic_load_n(&domains.by_id[domid], __ATOMIC_ACQUIRE) )
        return -EEXIST;
    if ( !(d = calloc(1, sizeof(*d))) )
        return -ENOMEM;
    acquire_ticket(&domains.lock);
    for ( slot = 0; slot < MAX_DOMAINS && domains.slot_used[slot]; slot++ )
        ;
    if ( slot < MAX_DOMAINS )
        domains.slot_used[slot] = true;
    spin_unlock(&domains.lock);
    if ( slot == MAX_DOMAINS )
    {
        free(d);
        return -ENOMEM;
    }

    __atomic_fetch_add(&domains.alive, 1, __ATOMIC_SEQ_CST);
    d->domain_id = domid;
    d->slot = slot;
    d->translated = config->translated;
    d->need_iommu = config->iommu;
    d->max_vcpus = config->vcpus;
    d->vcpu = calloc(d->max_vcpus, sizeof(*d->vcpu));
    d->p2m = d->translated ? calloc(P2M_ENTRIES, sizeof(*d->p2m)) : NULL;
    d->iommu = d->need_iommu ? map_zeroes(NR_FRAMES) : NULL;
    create_tlbs(d);
    rc = grant_table_init(d, config->grant_frames, config->maptrack_frames, config->max_version);
    if ( rc )
    {
        free_domain(d);
        return rc;
    }
    create_bus(d, !config->old_kernel);
    for ( unsigned int i = 0; i < d->max_vcpus; i++ )
    {
        d->vcpu[i] = aligned_alloc(_Alignof(struct vcpu), sizeof(*d->vcpu[i]));
        *d->vcpu[i] = (struct vcpu){ 0 };
        d->vcpu[i]->domain = d;
        d->vcpu[i]->vcpu_id = i;
        grant_table_init_vcpu(d->vcpu[i]);
    }

    d->pages = d->translated ? RAM_PAGES : DOMAIN_PAGES;
    for ( int n = 0; n < d->pages; n++ )
    {
        struct page_info *page = own_page(d, n);

        page->owner = d;
        page->count_info = PGC_allocated | 1;
        page->u.inuse.type_info = n < RAM_PAGES ? 0 : PGT_l1_page_table | 1;
        if ( n >= RAM_PAGES )
            clear_page(frame_of(page_to_mfn(page)));
        if ( d->translated )
            d->p2m[n] = p2m_entry(page_to_mfn(page), p2m_ram_rw);
    }
    __atomic_store_n(&domains.by_slot[slot], d, __ATOMIC_RELEASE);
    __atomic_store_n(&domains.by_id[domid], d, __ATOMIC_RELEASE);
    return 0;
}

/* As domain_kill(): release its mappings, then its page tables, then its memory. */
static bool destroy_domain_step(struct domain *d)
{
    switch ( d->stage )
    {
    case ALIVE:
        d->is_dying = 1;
        d->stage = RELEASING;
        /* fallthrough */
    case RELEASING:
        if ( gnttab_release_mappings(d) )
            return false;
        assert_bus_empty(d);
        d->stage = FREEING;
        return false;

    case FREEING:
        d->stage = GONE;
        for ( unsigned int entry = 0; !d->translated && entry < ENTRIES; entry++ )
        {
            l1_pgentry_t old = *l1_entry(d, entry);

            l1_entry(d, entry)->l1 = 0;
            put_page_from_l1e(old, d);
        }
        for ( int n = 0, pages = d->translated ? RAM_PAGES : DOMAIN_PAGES; n < pages; n++ )
        {
            if ( n >= RAM_PAGES )
                put_page_type(own_page(d, n));
            put_page_alloc_ref(own_page(d, n));
        }
        /* fallthrough */
    case GONE:
        break;
    }
    return true;
}
