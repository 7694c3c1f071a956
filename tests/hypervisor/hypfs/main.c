/*
 * Reads /gnttab/ and a value of a domain, while at each point another CPU creates or destroys
 * domains.  Aborts at the first problem.
 */
#include "machine.h"

#include "xen/usage.c"

#include "xen/hypfs.c"

enum { NR_IDS = 6, MAX_CREATED = 6 };

/* Names of one to five digits; domain 0 is the reader. */
static const domid_t initial[NR_IDS] = { 0, 1, 5, 12, 300, 32751 };

/* What another CPU does: bits are indexes into initial[] and created[]. */
struct change {
    unsigned int destroyed, created;
};
static const domid_t created[MAX_CREATED] = { 2, 7, 13, 1000, 20000, 32750 };

static long events, change_at;
static struct change change;

static void create(domid_t domid)
{
    struct domain *d = calloc(1, sizeof(*d)), **link = &domain_list;

    d->domain_id = domid;
    d->references = 1;
    d->grant_table = calloc(1, sizeof(*d->grant_table));
    d->grant_table->nr_grant_frames = domid + 1;
    d->vcpu = calloc(1, sizeof(*d->vcpu));
    d->vcpu->gnttab_count.fast_maps = domid + 3;
    d->vcpu->gnttab_count.fast_unmaps = 1;
    while ( *link && (*link)->domain_id < domid )
        link = &(*link)->next_in_list;
    d->next_in_list = *link;
    *link = d;
    domains_allocated++;
}

static struct domain *find(domid_t domid)
{
    struct domain *d;

    for_each_domain(d)
        if ( d->domain_id == domid && d->references )
            return d;
    return NULL;
}

static void destroy(domid_t domid)
{
    struct domain *d = find(domid);

    if ( d )
        put_domain(d);
}

static void free_destroyed(void)
{
    while ( domains_to_free )
    {
        struct domain *d = domains_to_free;

        domains_to_free = d->next_to_free;
        free(d->grant_table);
        free(d->vcpu);
        free(d);
        domains_allocated--;
    }
}

static void event(void)
{
    if ( events++ == change_at )
    {
        for ( unsigned int i = 0; i < NR_IDS; i++ )
            if ( change.destroyed & 1U << i )
                destroy(initial[i]);
        for ( unsigned int i = 0; i < MAX_CREATED; i++ )
            if ( change.created & 1U << i )
                create(created[i]);
    }
    if ( !rcu_depth )
        free_destroyed();
}

/* Read a node into a buffer of @size bytes. */
static long read_node(const char *path, char *buffer, size_t size)
{
    long rc;

    guest_begin = buffer;
    guest_end = buffer + size;
    rc = do_hypfs_op(XEN_HYPFS_OP_read, (XEN_GUEST_HANDLE_PARAM(const_char)){ path },
                     strlen(path) + 1, (XEN_GUEST_HANDLE_PARAM(void)){ buffer }, size);
    if ( locks_held || rcu_depth )
        fail("a lock is held after the hypercall", __LINE__);
    return rc;
}

static bool contains(const domid_t *ids, unsigned int nr, unsigned int selected, long id)
{
    for ( unsigned int i = 0; i < nr; i++ )
        if ( ids[i] == id && (selected & 1U << i) )
            return true;
    return false;
}

/* Check the listing and return the number of bytes it takes. */
static size_t check_listing(const char *listing)
{
    bool listed[NR_IDS] = { false };
    size_t at = 0, step;
    long previous = -1;

    do
    {
        struct xen_hypfs_dirlistentry entry;
        const char *name = listing + at + DIRENTRY_NAME_OFF;
        long id = atol(name);

        memcpy(&entry, listing + at, DIRENTRY_NAME_OFF);
        if ( id <= previous )
            fail("the domains are not listed in order", __LINE__);
        previous = id;
        if ( !contains(initial, NR_IDS, ~0U, id) &&
             !contains(created, MAX_CREATED, change.created, id) )
            fail("a domain is listed that did not exist", __LINE__);
        for ( unsigned int i = 0; i < NR_IDS; i++ )
            listed[i] |= initial[i] == id;
        step = entry.off_next;
        at += step ? step : DIRENTRY_SIZE(strlen(name));
    } while ( step );

    /* A new domain takes the room of others. */
    for ( unsigned int i = 0; i < NR_IDS && !change.created; i++ )
        if ( !listed[i] && !(change.destroyed & 1U << i) )
            fail("a domain that existed throughout is missing", __LINE__);
    return at;
}

static void check_references(void)
{
    struct domain *d;
    unsigned int nr = 0;

    free_destroyed();
    for_each_domain(d)
    {
        if ( d->references != 1 )
            fail("a reference is left", __LINE__);
        nr++;
    }
    if ( nr != domains_allocated )
        fail("a destroyed domain is not freed", __LINE__);
}

static void begin(void)
{
    change_at = -1;
    while ( domain_list )
        destroy(domain_list->domain_id);
    free_destroyed();
    for ( unsigned int i = 0; i < NR_IDS; i++ )
        create(initial[i]);
}

/* List all domains with a change at one point; return the number of points. */
static long list(size_t size, long point)
{
    char *buffer = malloc(size);
    long rc;

    begin();
    events = 0;
    change_at = point;
    rc = read_node("/gnttab", buffer, size);
    if ( !rc && check_listing(buffer + sizeof(struct xen_hypfs_direntry)) >
                    size - sizeof(struct xen_hypfs_direntry) )
        fail("the listing is longer than the buffer", __LINE__);
    if ( rc && rc != -ENOBUFS )
        fail("the directory cannot be read", __LINE__);
    free(buffer);
    check_references();
    return events;
}

/* Read two values of a domain with a change at one point; return the number of points. */
static long read_values(long point)
{
    struct __attribute__((packed)) {
        struct xen_hypfs_direntry head;
        uint64_t value;
    } content;
    const struct {
        const char *path;
        uint64_t value;
    } nodes[] = { { "/gnttab/12/frames", 13 }, { "/gnttab/12/fast-live", 14 } };
    long total = 0;

    for ( unsigned int i = 0; i < 2; i++ )
    {
        long rc;

        begin();
        events = 0;
        change_at = point;
        rc = read_node(nodes[i].path, (char *)&content, sizeof(content));
        if ( rc ? rc != -ENOENT || !change.destroyed : content.value != nodes[i].value )
            fail("a value is wrong", __LINE__);
        check_references();
        total = events > total ? events : total;
    }
    return total;
}

static void check_names(void)
{
    static const char *const paths[] = { "/gnttab/13/frames", "/gnttab/32752/frames",
                                         "/gnttab/1x/frames", "/gnttab/12/none" };
    char buffer[64];

    begin();
    for ( unsigned int i = 0; i < sizeof(paths) / sizeof(paths[0]); i++ )
        if ( read_node(paths[i], buffer, sizeof(buffer)) != -ENOENT )
            fail("a node is found that does not exist", __LINE__);
    check_references();
}

int main(void)
{
    const unsigned int all = (1U << NR_IDS) - 2;
    size_t size = sizeof(struct xen_hypfs_direntry);
    long points = 0;
    struct domain *d;

    init_gnttab_hypfs_init();
    begin();
    for_each_domain(d)
        size += hypfs_dynid_entry_size(&gnttab_domdir.e, d->domain_id);
    check_names();
    for ( unsigned int n = 0; n < 64 * 64; n++ )
    {
        change = (struct change){ n & 63 & all, n >> 6 };
        for ( long point = 0, nr = 1; point < nr; point++, points++ )
            nr = list(size, point);
        if ( !change.created )
            for ( long point = 0, nr = 1; point < nr; point++, points++ )
                nr = read_values(point);
    }
    printf("%ld points\n", points);
    return 0;
}
