/* Frames, their owners and their reference and type counts. */

/* With threads, a count may change between dropping a reference and looking at it. */
#if ( !defined(NDEBUG) || defined(EVENTS) ) && !defined(RANDOM_DELAY) && !defined(TSAN)
#define CHECK_REACH
#endif

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define poison_page(p) ASAN_POISON_MEMORY_REGION(p, PAGE_SIZE)
#define unpoison_page(p) ASAN_UNPOISON_MEMORY_REGION(p, PAGE_SIZE)
#define is_untouched(p) ((void)(p), true)
#else
/* A freed page has a pattern, so that reads after free get wrong data and writes are detected. */
#define poison_page(p) ((void)memset(p, 0xdb, PAGE_SIZE))
#define unpoison_page(p) ((void)(p))
static bool is_untouched(const unsigned char *p)
{
    return *p == 0xdb && !memcmp(p, p + 1, PAGE_SIZE - 1);
}
#endif

#include <sys/mman.h>

/* Allocator of Xen's own frames: freed frames first, then unused ones. */
static struct {
    spinlock_t lock;
    unsigned int *free, nr_free, used;
    unsigned long allocated;
    long allocations_left; /* -1: unlimited */
} xen_pages;

static void *map_zeroes(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    if ( p == MAP_FAILED )
        crash_host("mmap failed", __FILE__, __LINE__);
    return p;
}

static void reset_memory(void)
{
    if ( !frame_contents )
    {
        frame_contents = map_zeroes((size_t)NR_FRAMES << PAGE_SHIFT);
        frame_table = map_zeroes(NR_FRAMES * sizeof(*frame_table));
        xen_pages.free = map_zeroes(XEN_FRAMES * sizeof(*xen_pages.free));
    }
    memset(&frame_table[GUEST_FRAMES], 0, xen_pages.used * sizeof(*frame_table));
    for ( unsigned int i = 0; i < xen_pages.nr_free; i++ )
        unpoison_page(frame_contents + (((size_t)GUEST_FRAMES + xen_pages.free[i]) << PAGE_SHIFT));
    xen_pages.nr_free = xen_pages.used = 0;
    xen_pages.allocated = 0;
    xen_pages.allocations_left = -1;
    spin_lock_init(&xen_pages.lock);
}

/* Whether freed pages, starting with number @from, still have the pattern. */
static bool free_pages_untouched(unsigned int from)
{
    for ( ; from < xen_pages.nr_free; from++ )
        if ( !is_untouched(frame_contents +
                           (((size_t)GUEST_FRAMES + xen_pages.free[from]) << PAGE_SHIFT)) )
            return false;
    return true;
}

static bool allocation_allowed(void)
{
    if ( xen_pages.allocations_left < 0 )
        return true;
    return xen_pages.allocations_left && xen_pages.allocations_left--;
}

static void *alloc_xenheap_page(void)
{
    unsigned int n = XEN_FRAMES;
    void *p = NULL;

    acquire_ticket(&xen_pages.lock);
    if ( !allocation_allowed() )
        ;
    else if ( xen_pages.nr_free )
    {
        if ( !free_pages_untouched(xen_pages.nr_free - 1) )
            crash_host("a page was written to after it was freed", __FILE__, __LINE__);
        n = xen_pages.free[--xen_pages.nr_free];
    }
    else if ( xen_pages.used < XEN_FRAMES )
        n = xen_pages.used++;
    if ( n < XEN_FRAMES )
    {
        struct page_info *page = &frame_table[GUEST_FRAMES + n];

        xen_pages.allocated++;
        page->count_info = PGC_xen_heap;
        page->u.inuse.type_info = 0;
        p = frame_of(page_to_mfn(page));
        unpoison_page(p);
    }
    spin_unlock(&xen_pages.lock);
    return p;
}

static void free_xenheap_page(void *p)
{
    struct page_info *page;

    if ( !p )
        return;
    page = virt_to_page(p);
    BUG_ON(page - frame_table < GUEST_FRAMES);
    acquire_ticket(&xen_pages.lock);
    BUG_ON(!page->count_info);
    page->count_info = 0;
    page->owner = NULL;
    report_event("free page", mfn_x(page_to_mfn(page)));
    poison_page(p);
    xen_pages.free[xen_pages.nr_free++] = page - frame_table - GUEST_FRAMES;
    xen_pages.allocated--;
    spin_unlock(&xen_pages.lock);
}

static void *heap_zalloc(size_t size)
{
    return allocation_allowed() ? calloc(1, size) : NULL;
}

static void share_xen_page_with_guest(struct page_info *page, struct domain *d, int flags)
{
    if ( page->owner == d )
        return;
    page->owner = d;
    page->u.inuse.type_info = PGT_writable_page | 1;
    if ( !d->is_dying )
        page->count_info |= PGC_allocated | 1;
}

static bool get_reference(struct page_info *page)
{
    unsigned long count = __atomic_load_n(&page->count_info, __ATOMIC_RELAXED);

    do
    {
        /* Not allocated, or the count would overflow. */
        if ( ((count + 2) & PGC_count_mask) <= 2 )
            return false;
    } while ( !__atomic_compare_exchange_n(&page->count_info, &count, count + 1, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_RELAXED) );
    return true;
}

static bool get_page(struct page_info *page, const struct domain *d)
{
    if ( !get_reference(page) )
        return false;
    if ( page->owner == d )
        return true;
    put_page(page);
    return false;
}

static struct domain *page_get_owner_and_reference(struct page_info *page)
{
    return get_reference(page) ? page->owner : NULL;
}

static void put_page(struct page_info *page)
{
    unsigned long left;

    report_event("put page", mfn_x(page_to_mfn(page)));
    left = __atomic_sub_fetch(&page->count_info, 1, __ATOMIC_SEQ_CST);
    if ( (left & PGC_count_mask) == PGC_count_mask )
        crash_host("page reference count below 0", __FILE__, __LINE__);
#ifdef CHECK_REACH
    check_still_referenced(page, left, ~0UL);
#endif
    if ( !(left & PGC_count_mask) )
        last_reference_dropped(page);
}

static bool get_page_type(struct page_info *page, unsigned long type)
{
    unsigned long was = __atomic_load_n(&page->u.inuse.type_info, __ATOMIC_RELAXED), is;

    do
    {
        if ( !(was & PGT_count_mask) )
            is = type | 1;
        else if ( (was & PGT_type_mask) != type )
            return false;
        else
            is = was + 1;
    } while ( !__atomic_compare_exchange_n(&page->u.inuse.type_info, &was, is, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_RELAXED) );
    return true;
}

static void put_page_type(struct page_info *page)
{
    unsigned long left;

    report_event("put page type", mfn_x(page_to_mfn(page)));
    left = __atomic_sub_fetch(&page->u.inuse.type_info, 1, __ATOMIC_SEQ_CST);
    if ( (left & PGT_count_mask) == PGT_count_mask )
        crash_host("page type count below 0", __FILE__, __LINE__);
#ifdef CHECK_REACH
    check_still_referenced(page, ~0UL, left);
#endif
}

static void put_page_and_type(struct page_info *page)
{
    put_page_type(page);
    put_page(page);
}

static void put_page_alloc_ref(struct page_info *page)
{
    unsigned long was = __atomic_fetch_and(&page->count_info, ~PGC_allocated, __ATOMIC_SEQ_CST);

    /* Xen's own pages are not freed with the reference of share_xen_page_with_guest(). */
    if ( was & PGC_allocated )
    {
        if ( was & PGC_xen_heap )
            __atomic_sub_fetch(&page->count_info, 1, __ATOMIC_SEQ_CST);
        else
            put_page(page);
    }
}
