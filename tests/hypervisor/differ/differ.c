/* Play the steps, translate handles, compare. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define __XEN_TOOLS__ 1
#include <public/xen.h>
#include <public/grant_table.h>
#include <public/memory.h>

#include "differ.h"
#include "meant.h"
#include "sides.h"

/* The references that are used: reserved ones, usual ones, at the end of a frame, and beyond 16 bits. */
static const uint32_t refs[] = { 0, 7, 8, 9, 10, 11, 511, 512, 1023, 65535, 65536, 66559 };
enum { NR_REFS = sizeof(refs) / sizeof(refs[0]), NR_DOMAINS = 4, NR_PLACES = 12, NR_PAGES = 6,
       GRANT_FRAMES = 130, VCPUS = 2 };
/* As far apart as domids get, so that a handle with one of them is no other's. */
static const unsigned int domids[NR_DOMAINS] = { 0, 1, 2, 0x7fef };

const char *const differ_names[NR_WHAT] = {
    "grant", "revoke", "map", "unmap", "replace", "bad-handle", "copy", "version", "grow", "swap",
    "end", "preempt", "hold",
};

static struct mapping mappings[MAX_MAPPINGS];
static unsigned int nr_mappings;
static struct setting now;
static struct outcome *result;
static unsigned long tallies[NR_WHAT][32];
/* What a domain has mapped, by how the patched hypervisor records it: [1] is fast. */
static unsigned int nr_live[NR_DOMAINS][2];
/* MAPLESS: may not map at all, having no maptrack frames; FEW_HANDLES: its vCPUs share a frame. */
static enum { USUAL, MAPLESS, FEW_HANDLES, VERSION_1 } kinds[NR_DOMAINS];
/* Not all can be had where those of stock's alone are enough: fast mappings need none. */
enum { ENOUGH_HANDLES = 200 };
/* A frame of statuses that a domain uses itself. */
static bool held[NR_DOMAINS];
static uint64_t held_frames[2][NR_DOMAINS];

static void differs(const char *what, long is_stock, long is_patched)
{
    if ( result->differs )
        return;
    result->differs = true;
    snprintf(result->what, sizeof(result->what), "%s: %#lx on stock, %#lx patched", what, is_stock,
             is_patched);
}

static bool same(const char *what, long is_stock, long is_patched)
{
    if ( is_stock != is_patched )
        differs(what, is_stock, is_patched);
    return is_stock == is_patched;
}

/*
 * Where a domain maps: linear addresses, or of entries; in pairs that are as far apart as a tag has
 * values, which is to be told nevertheless.
 */
static unsigned int entry_of(unsigned int place)
{
    place %= NR_PLACES;
    return place / 2 * 331 + place % 2 * 1024;
}

static bool translated(unsigned int domain)
{
    return now.translated_mapper && domain == 1;
}

static uint64_t address_of(const struct hypervisor *side, unsigned int domain, unsigned int place,
                           unsigned int flags)
{
    unsigned int entry = entry_of(place);

    if ( translated(domain) )
        return ((uint64_t)RAM_PAGES + entry) << 12 | (place >= 128 ? 0x123 : 0);
    if ( flags & GNTMAP_contains_pte )
        return side->pte_address(domids[domain], entry) + (place >= 224 ? 1 : 0);
    return LINEAR_BASE + ((uint64_t)entry << 12) + (place >= 128 ? 0x123 : 0);
}

static bool gone_before[NR_DOMAINS];

static bool gone(unsigned int domain)
{
    return gone_before[domain];
}

static bool alive(unsigned int domain)
{
    struct domain_seen seen;

    return stock.see_domain(domids[domain], &seen) && !seen.dying;
}

static bool usable(unsigned int domain)
{
    struct domain_seen seen;

    return stock.see_domain(domids[domain], &seen) && !seen.dying && !seen.crashed;
}

static void enter_both(unsigned int domain, unsigned int vcpu)
{
    stock.enter(domids[domain], vcpu % VCPUS, 0);
    patched.enter(domids[domain], vcpu % VCPUS, 0);
}

static void begin(unsigned int domain)
{
    const struct domain_config config = {
        .translated = translated(domain),
        .iommu = domain == 0 && now.strict_iommu,
        .vcpus = VCPUS,
        .max_version = kinds[domain] == VERSION_1 ? 1 : 2,
        .grant_frames = GRANT_FRAMES,
        .maptrack_frames = kinds[domain] == MAPLESS ? 0 : kinds[domain] == FEW_HANDLES ? 1 : -1,
    };

    memset(nr_live[domain], 0, sizeof(nr_live[domain]));
    same("creating a domain", stock.create(domids[domain], &config),
         patched.create(domids[domain], &config));
}

/* Everything that is to be seen of what the steps are about. */
static void compare(void)
{
    struct machine_seen machines[2];

    for ( unsigned int d = 0; d < NR_DOMAINS; d++ )
    {
        struct domain_seen is[2];
        struct entry_seen entries[2];
        struct page_seen pages[2];

        if ( !same("a domain is there", stock.see_domain(domids[d], &is[0]),
                   patched.see_domain(domids[d], &is[1])) )
            return;
        same("a domain has crashed", is[0].crashed, is[1].crashed);
        same("version of a table", is[0].version, is[1].version);
        same("grant frames", is[0].grant_frames, is[1].grant_frames);
        same("status frames", is[0].status_frames, is[1].status_frames);
        same("IOMMU mappings", is[0].iommu_mappings, is[1].iommu_mappings);
        if ( is[1].maptrack_frames > is[0].maptrack_frames )
            differs("more maptrack frames", is[0].maptrack_frames, is[1].maptrack_frames);
        /* Of a batch in which its caller is crashed, it is not known how much was done. */
        if ( !is[1].crashed )
        {
            same("slow mappings counted", nr_live[d][0], is[1].slow);
            same("fast mappings counted", nr_live[d][1], is[1].fast);
        }
        for ( unsigned int r = 0; r < NR_REFS; r++ )
        {
            if ( !same("a reference is there", stock.see_entry(domids[d], refs[r], &entries[0]),
                       patched.see_entry(domids[d], refs[r], &entries[1])) )
                return;
            same("pins", entries[0].pin, entries[1].pin);
            same("flags", entries[0].flags, entries[1].flags);
            same("status", entries[0].status, entries[1].status);
            same("mapper", entries[0].mapper, entries[1].mapper);
        }
        for ( unsigned int n = 0; n < NR_PAGES + L1_PAGES; n++ )
        {
            unsigned int p = n < NR_PAGES ? n : RAM_PAGES + n - NR_PAGES;

            stock.see_page(domids[d], p, &pages[0]);
            patched.see_page(domids[d], p, &pages[1]);
            same("references of a page", pages[0].references, pages[1].references);
            same("type of a page", pages[0].type, pages[1].type);
            same("types of a page", pages[0].types, pages[1].types);
            if ( now.strict_iommu )
                same("what the IOMMU permits", stock.see_iommu(domids[0], domids[d], p),
                     patched.see_iommu(domids[0], domids[d], p));
        }
        for ( unsigned int place = 0; place < NR_PLACES; place++ )
            same("what is mapped", stock.see_host(domids[d], entry_of(place)),
                 patched.see_host(domids[d], entry_of(place)));
    }
    stock.see_machine(&machines[0]);
    patched.see_machine(&machines[1]);
    same("domains", machines[0].domains, machines[1].domains);
}

/* What was asked and answered, for who reads a failing sequence. */
FILE *differ_trace;
#define say(...) do { if ( differ_trace ) fprintf(differ_trace, __VA_ARGS__); } while (0)

static void count(enum what what, int status)
{
    tallies[what][status <= 0 && status > -31 ? -status : 31]++;
}

static const unsigned int grant_flags[] = {
    GTF_permit_access, GTF_permit_access, GTF_permit_access, GTF_permit_access | GTF_readonly,
    GTF_permit_access | GTF_readonly, 0, GTF_accept_transfer, GTF_permit_access | GTF_sub_page,
};

/* A page of one's own, or a page table; sometimes none that exists, or that version 1 can name. */
static uint64_t granted(const struct hypervisor *side, unsigned int d, unsigned int place)
{
    switch ( place )
    {
    case 255: return 0xfffffffULL;
    case 254: return 0xfffffffffULL;
    case 240 ... 253: return side->gfn(domids[d], RAM_PAGES + place % L1_PAGES);
    default: return side->gfn(domids[d], place % NR_PAGES);
    }
}

static void grant(const struct step *s)
{
    unsigned int d = s->other % NR_DOMAINS, to = s->actor % NR_DOMAINS;
    uint32_t ref = refs[s->ref % NR_REFS];
    unsigned int flags = s->flags >= 248 ? GTF_transitive : grant_flags[s->flags % 8], kept;
    struct entry_seen seen;

    if ( !alive(d) )
        return;
    for ( unsigned int i = 0; i < 2; i++ )
    {
        const struct hypervisor *side = i ? &patched : &stock;
        uint64_t gfn = granted(side, d, s->place);

        /*
         * What Xen has set stays as it is, as with any kernel that means to go on.  That a reserved
         * reference is granted stays as well: where it is not, a switch of version clears the entry.
         */
        side->see_entry(domids[d], ref, &seen);
        kept = seen.flags & (GTF_reading | GTF_writing);
        if ( seen.pin && ref < GNTTAB_NR_RESERVED_ENTRIES )
            flags = GTF_permit_access | (flags & ~GTF_type_mask);
        side->grant(domids[d], ref, flags | kept, domids[to], gfn);
    }
    count(GRANT, 0);
}

static void revoke(const struct step *s)
{
    unsigned int d = s->other % NR_DOMAINS;
    uint32_t ref = refs[s->ref % NR_REFS];

    if ( !alive(d) )
        return;
    same("taking a grant back", stock.revoke(domids[d], ref), patched.revoke(domids[d], ref));
    count(REVOKE, 0);
}

static unsigned int batch_of(const struct step *s)
{
    return 1 + s->more % 4;
}

/* The granter of a batch's request @i. */
static unsigned int granter_of(const struct step *s, unsigned int i)
{
    return (s->other + (s->more & 32 ? i : 0)) % NR_DOMAINS;
}

/* Sometimes with what Xen does not know, and what it only copies, or what HVM may not have. */
static unsigned int mapping_flags(const struct step *s)
{
    if ( s->flags >= 224 )
        return (s->flags & 0x1f) | 0x00060020;
    if ( s->flags >= 128 && translated(s->actor % NR_DOMAINS) )
        return (s->flags & GNTMAP_readonly) | GNTMAP_host_map;
    return s->flags & 0x1f;
}

static void allocations_fail(bool fail)
{
    stock.fail_allocations(fail ? 0 : -1);
    patched.fail_allocations(fail ? 0 : -1);
}

/*
 * Where nothing can be mapped, which of two reasons is told may differ: patched, the reference is
 * looked at before there is a maptrack entry for it.
 */
static void nothing_mapped(int is_stock, int is_patched)
{
    if ( is_stock != GNTST_no_space )
        same("status of mapping", is_stock, is_patched);
    else if ( is_patched != GNTST_no_space && is_patched != GNTST_bad_gntref &&
              is_patched != GNTST_general_error )
        differs("status of mapping without space", is_stock, is_patched);
}

static void map(const struct step *s)
{
    struct gnttab_map_grant_ref requests[2][4];
    unsigned int n = batch_of(s), ld = s->actor % NR_DOMAINS;
    struct domain_seen mapper;
    bool fails;

    if ( !usable(ld) || nr_mappings + n > MAX_MAPPINGS )
        return;
    if ( now.fast && kinds[ld] == FEW_HANDLES && nr_live[ld][0] + nr_live[ld][1] > ENOUGH_HANDLES )
        return;
    for ( unsigned int i = 0; i < n; i++ )
        for ( unsigned int side = 0; side < 2; side++ )
            requests[side][i] = (struct gnttab_map_grant_ref){
                .ref = refs[(s->ref + (s->more & 16 ? i : 0)) % NR_REFS],
                .flags = mapping_flags(s),
                .dom = s->other >= 250 ? 0x7ff0U + s->other - 250 : domids[granter_of(s, i)],
                .host_addr = address_of(side ? &patched : &stock, ld, s->place + i, s->flags),
                .handle = 0x55555555,
            };
    /* Memory is short only for who has never got as far as to need some. */
    stock.see_domain(domids[ld], &mapper);
    fails = (s->more & 64) && !mapper.maptrack_frames;
    enter_both(ld, s->actor >> 2);
    allocations_fail(fails);
    same("mapping", stock.operate(GNTTABOP_map_grant_ref, requests[0], n),
         patched.operate(GNTTABOP_map_grant_ref, requests[1], n));
    allocations_fail(false);

    for ( unsigned int i = 0; i < n; i++ )
    {
        const struct gnttab_map_grant_ref *r = requests[0];
        struct mapping *made = &mappings[nr_mappings];

        if ( kinds[ld] == MAPLESS || fails || r[i].status == GNTST_no_space )
        {
            nothing_mapped(r[i].status, requests[1][i].status);
            count(MAP, requests[1][i].status);
            continue;
        }
        same("status of mapping", r[i].status, requests[1][i].status);
        count(MAP, r[i].status);
        say("# d%u maps d%u ref %#x flags %#x at %#llx: %d, handles %#x %#x\n", domids[ld], r[i].dom,
            r[i].ref, r[i].flags, (unsigned long long)r[i].host_addr, r[i].status, r[i].handle,
            requests[1][i].handle);
        if ( r[i].status )
            continue;
        same("bus address", r[i].dev_bus_addr, requests[1][i].dev_bus_addr);
        *made = (struct mapping){
            .live = true,
            .tagged = r[i].flags & GNTMAP_host_map,
            .mapper = ld,
            .granter = granter_of(s, i),
            .ref = r[i].ref,
            .flags = r[i].flags,
            .host_addr = r[i].host_addr,
            .bus_addr = r[i].dev_bus_addr,
            .handle = { r[i].handle, requests[1][i].handle },
        };
        if ( now.fast && is_fast(mappings, nr_mappings, made) )
            same("handle", fast_handle(r[i].dom, r[i].ref), made->handle[1]);
        else
            same("a handle is fast", false, made->handle[1] >> 31);
        made->slot = slot_of(mappings, nr_mappings, made);
        nr_live[ld][made->handle[1] >> 31]++;
        nr_mappings++;
    }
}

/* What is mapped at an address of a translated domain's. */
static uint64_t host_at(unsigned int domain, uint64_t host_addr)
{
    uint64_t entry = (host_addr >> 12) - RAM_PAGES;

    return translated(domain) && entry < ENTRIES ? patched.see_host(domids[domain], entry) : 0;
}

/* More than Xen completes at a time, so that it may be interrupted. */
enum { LONG_BATCH = 40 };

/* A request as both are given it: they have one layout up to the handle, or even further. */
union request {
    struct gnttab_unmap_grant_ref unmap;
    struct gnttab_unmap_and_replace replace;
};

static long unmap_batch(const struct hypervisor *side, const union request *requests, unsigned int n,
                        bool replace, int *statuses)
{
    struct gnttab_unmap_grant_ref unmap[LONG_BATCH];
    struct gnttab_unmap_and_replace replacing[LONG_BATCH];
    long rc;

    for ( unsigned int i = 0; i < n; i++ )
    {
        unmap[i] = requests[i].unmap;
        replacing[i] = requests[i].replace;
    }
    rc = replace ? side->operate(GNTTABOP_unmap_and_replace, replacing, n)
                 : side->operate(GNTTABOP_unmap_grant_ref, unmap, n);
    for ( unsigned int i = 0; i < n; i++ )
        statuses[i] = replace ? replacing[i].status : unmap[i].status;
    return rc;
}

/* Mostly one that is live, the latest first; of those that are gone, any. */
static const struct mapping *named_by(unsigned int which, unsigned int more)
{
    unsigned int from = which + more;

    if ( which < 224 )
        for ( unsigned int i = 0, left = from % 8; i < nr_mappings; i++ )
        {
            const struct mapping *mapping = &mappings[nr_mappings - 1 - i];

            if ( mapping->live && !left-- )
                return mapping;
        }
    return &mappings[from % nr_mappings];
}

/*
 * The patched one first.  What it answers says what is left for the next request of the batch to be
 * about; then stock is given the handles of what those were about.
 */
static void unmap(const struct step *s, bool replace)
{
    union request requests[LONG_BATCH], of_stock[LONG_BATCH];
    struct meant about[4];
    struct domain_seen mapper;
    int statuses[2][LONG_BATCH];
    unsigned int ld = 0, n = 0, all, for_stock = 0;

    for ( unsigned int i = 0; i < batch_of(s) && nr_mappings; i++ )
    {
        const struct mapping *named = named_by(s->mapping, i);
        uint64_t host = named->host_addr, bus = named->bus_addr;

        if ( !usable(named->mapper) || (n && named->mapper != ld) )
            break;
        ld = named->mapper;
        switch ( s->flags % 8 )
        {
        case 1: host = 0; break;
        case 2: bus = 0; break;
        case 3: host = bus = 0; break;
        case 4: host = address_of(&stock, ld, s->place, named->flags); break;
        case 5: bus += 4096; break;
        case 6: host = named_by(s->place, i)->host_addr; break;
        }
        if ( replace )
            requests[n++].replace = (struct gnttab_unmap_and_replace){
                .host_addr = host,
                .new_addr = address_of(&stock, ld, s->place + 5, 0),
                .handle = named->handle[1],
            };
        else
            requests[n++].unmap = (struct gnttab_unmap_grant_ref){
                .host_addr = host, .dev_bus_addr = bus, .handle = named->handle[1],
            };
    }
    if ( !n )
        return;
    /* The rest of a long batch is refused. */
    for ( all = n; s->more >= 224 && all < LONG_BATCH; all++ )
        if ( replace )
            requests[all].replace = (struct gnttab_unmap_and_replace){ .handle = ~0U };
        else
            requests[all].unmap = (struct gnttab_unmap_grant_ref){ .handle = ~0U };

    enter_both(ld, s->actor >> 2);
    for ( unsigned int d = 0; d < NR_DOMAINS; d++ )
        gone_before[d] = !patched.see_domain(domids[d], &(struct domain_seen){ 0 });
    for ( unsigned int i = 0; i < n; i++ )
        about[i].status = host_at(ld, requests[i].unmap.host_addr) & 0xff;
    if ( !same("unmapping", unmap_batch(&patched, requests, all, replace, statuses[1]), 0) )
        return;
    patched.see_domain(domids[ld], &mapper);
    for ( unsigned int i = 0; i < n; i++ )
    {
        uint32_t handle = replace ? requests[i].replace.handle : requests[i].unmap.handle;
        uint64_t host_addr = requests[i].unmap.host_addr;
        struct mapping *of;

        about[i] = meant(mappings, nr_mappings, ld, handle, host_addr, translated(ld),
                         about[i].status, gone);
        of = about[i].mapping;
        count(replace ? REPLACE : UNMAP, statuses[1][i]);
        say("# d%u %s handles %#x %#x at %#llx, bus %#llx: %d%s\n", domids[ld],
            replace ? "replaces" : "unmaps", of ? of->handle[0] : ~0U, handle,
            (unsigned long long)host_addr,
            (unsigned long long)(replace ? 0 : requests[i].unmap.dev_bus_addr), statuses[1][i],
            about[i].patched_only ? ", not on stock" : "");
        if ( about[i].patched_only )
        {
            same("status of what stock takes otherwise", about[i].status, statuses[1][i]);
            continue;
        }
        of_stock[for_stock] = requests[i];
        if ( replace )
            of_stock[for_stock].replace.handle = of ? of->handle[0] : ~0U;
        else
            of_stock[for_stock].unmap.handle = of ? of->handle[0] : ~0U;
        statuses[1][for_stock++] = statuses[1][i];
        if ( !of || statuses[1][i] || mapper.crashed )
            continue;
        if ( host_addr )
            of->flags &= ~GNTMAP_host_map;
        if ( !replace && requests[i].unmap.dev_bus_addr )
            of->flags &= ~GNTMAP_device_map;
        of->live = of->flags & (GNTMAP_host_map | GNTMAP_device_map);
        nr_live[ld][of->handle[1] >> 31] -= !of->live;
    }
    for ( unsigned int i = n; i < all; i++ )
    {
        of_stock[for_stock] = requests[i];
        statuses[1][for_stock++] = statuses[1][i];
    }
    same("unmapping", unmap_batch(&stock, of_stock, for_stock, replace, statuses[0]), 0);
    /* Who is crashed is told nothing: compare() sees that both are. */
    for ( unsigned int i = 0; i < for_stock && !mapper.crashed; i++ )
        same("status of unmapping", statuses[0][i], statuses[1][i]);
}

/* A handle that is of no mapping of the caller's: any, or a fast one made up, or another domain's. */
static void bad_handle(const struct step *s)
{
    struct gnttab_unmap_grant_ref requests[2];
    unsigned int ld = s->actor % NR_DOMAINS;
    uint32_t handle = s->flags | s->place << 8 | s->mapping << 16 | (uint32_t)s->more << 24;

    if ( s->ref % 3 == 1 )
        handle = 0x80000000U | domids[s->other % NR_DOMAINS] << 16 | (refs[s->place % NR_REFS] & 0xffff);
    else if ( s->ref % 3 == 2 && nr_mappings )
        handle = mappings[s->mapping % nr_mappings].handle[1];
    if ( !usable(ld) )
        return;
    for ( unsigned int i = 0; i < nr_mappings; i++ )
        if ( mappings[i].live && mappings[i].mapper == ld && mappings[i].handle[1] == handle )
            return;
    requests[0] = requests[1] = (struct gnttab_unmap_grant_ref){
        .host_addr = address_of(&stock, ld, s->place, 0),
        .dev_bus_addr = s->more << 12,
        .handle = handle,
    };
    requests[0].handle = 0xffffffffU;
    enter_both(ld, s->actor >> 2);
    stock.operate(GNTTABOP_unmap_grant_ref, &requests[0], 1);
    patched.operate(GNTTABOP_unmap_grant_ref, &requests[1], 1);
    same("status of unmapping a bad handle", requests[0].status, requests[1].status);
    count(BAD_HANDLE, requests[1].status);
}

static void copy(const struct step *s)
{
    struct gnttab_copy requests[2];
    unsigned int ld = s->actor % NR_DOMAINS, rd = s->other % NR_DOMAINS;

    if ( !usable(ld) || !alive(rd) )
        return;
    for ( unsigned int side = 0; side < 2; side++ )
    {
        requests[side] = (struct gnttab_copy){
            .source.domid = domids[rd], .source.u.ref = refs[s->ref % NR_REFS],
            .dest.domid = DOMID_SELF,
            .dest.u.gmfn = (side ? &patched : &stock)->gfn(domids[ld], s->place % NR_PAGES),
            .len = 64, .flags = GNTCOPY_source_gref,
        };
        if ( s->more & 1 )
        {
            __typeof__(requests[0].source) swapped = requests[side].source;

            memcpy(&requests[side].source, &requests[side].dest, sizeof(swapped));
            memcpy(&requests[side].dest, &swapped, sizeof(swapped));
            requests[side].flags = GNTCOPY_dest_gref;
        }
    }
    enter_both(ld, s->actor >> 2);
    same("copying", stock.operate(GNTTABOP_copy, &requests[0], 1),
         patched.operate(GNTTABOP_copy, &requests[1], 1));
    same("status of copying", requests[0].status, requests[1].status);
    count(COPY, requests[1].status);
}

static void version(const struct step *s)
{
    uint32_t wanted = s->flags >= 252 ? 3 : 1 + s->flags % 2;
    struct gnttab_set_version requests[2] = { { wanted }, { wanted } };
    unsigned int d = s->other % NR_DOMAINS;
    bool unreadable = s->more == 255;
    long rc[2];

    if ( !usable(d) )
        return;
    enter_both(d, s->actor);
    allocations_fail(s->more & 64);
    rc[0] = stock.operate(GNTTABOP_set_version, unreadable ? NULL : &requests[0], 1);
    rc[1] = patched.operate(GNTTABOP_set_version, unreadable ? NULL : &requests[1], 1);
    allocations_fail(false);
    same("setting the version", rc[0], rc[1]);
    same("the version", requests[0].version, requests[1].version);
    say("# d%u sets version %u: %ld\n", domids[d], wanted, rc[1]);
    count(VERSION, rc[1]);
}

static void grow(const struct step *s)
{
    static xen_pfn_t pfns[2][GRANT_FRAMES];
    struct gnttab_setup_table requests[2];
    unsigned int d = s->other % NR_DOMAINS;

    if ( !usable(d) )
        return;
    for ( unsigned int side = 0; side < 2; side++ )
        requests[side] = (struct gnttab_setup_table){
            .dom = DOMID_SELF,
            .nr_frames = s->more & 1 ? GRANT_FRAMES : 1 + s->place % 4,
            .frame_list = { pfns[side] },
        };
    enter_both(d, s->actor);
    allocations_fail(s->more & 64);
    same("growing a table", stock.operate(GNTTABOP_setup_table, &requests[0], 1),
         patched.operate(GNTTABOP_setup_table, &requests[1], 1));
    allocations_fail(false);
    same("status of growing", requests[0].status, requests[1].status);
    count(GROW, requests[1].status);
}

static void swap(const struct step *s)
{
    struct gnttab_swap_grant_ref requests[2];
    unsigned int d = s->other % NR_DOMAINS;

    if ( !usable(d) )
        return;
    requests[0] = requests[1] = (struct gnttab_swap_grant_ref){
        .ref_a = refs[s->ref % NR_REFS], .ref_b = refs[s->place % NR_REFS],
    };
    enter_both(d, s->actor);
    same("swapping", stock.operate(GNTTABOP_swap_grant_ref, &requests[0], 1),
         patched.operate(GNTTABOP_swap_grant_ref, &requests[1], 1));
    same("status of swapping", requests[0].status, requests[1].status);
    count(SWAP, requests[1].status);
}

static void drop(unsigned int d)
{
    if ( !held[d] )
        return;
    stock.drop_frame(held_frames[0][d]);
    patched.drop_frame(held_frames[1][d]);
    held[d] = false;
}

/* Have a frame of statuses in use, so that there is no way back to version 1. */
static void hold(const struct step *s)
{
    unsigned int d = s->other % NR_DOMAINS;
    unsigned long index = XENMAPIDX_grant_table_status | s->place % 2;
    long rc;

    if ( !usable(d) )
        return;
    if ( held[d] )
    {
        drop(d);
        return;
    }
    rc = patched.hold_frame(domids[d], index, &held_frames[1][d]);
    same("holding a frame", stock.hold_frame(domids[d], index, &held_frames[0][d]), rc);
    held[d] = !rc;
    count(HOLD, rc);
}

static void end_domain(unsigned int d)
{
    struct domain_seen seen, granter;
    unsigned int uncounted = 0;

    drop(d);
    patched.see_domain(domids[d], &seen);
    /* Which step is the last may differ: progress is made in other pieces. */
    for ( unsigned int side = 0; side < 2; side++ )
        for ( unsigned int i = 0; !(side ? &patched : &stock)->kill(domids[d]); i++ )
        {
            if ( i > 1000000 )
            {
                differs("a domain does not end", !side, side);
                return;
            }
            /* Before the last step, all that it had mapped has been released. */
            patched.see_domain(domids[d], &seen);
        }
    for ( unsigned int i = 0; i < nr_mappings; i++ )
        if ( mappings[i].mapper == d )
        {
            uncounted += mappings[i].live && mappings[i].handle[1] >> 31 &&
                         !patched.see_domain(domids[mappings[i].granter], &granter);
            mappings[i].live = false;
        }
    nr_live[d][0] = 0;
    nr_live[d][1] = seen.fast;
    if ( seen.crashed )
        return;
    same("slow mappings counted at the end", 0, seen.slow);
    /* What had a granter that is gone by now, it may not have looked at, nor counted as undone. */
    if ( seen.fast > uncounted )
        differs("fast mappings counted at the end", uncounted, seen.fast);
}

/*
 * A PV domain that overwrites the PTE of a mapping has no more than the record of it, with which the
 * granter can be gone.  Xen takes another domain of its domid for it.
 */
static bool recorded(unsigned int granter)
{
    for ( unsigned int i = 0; i < nr_mappings; i++ )
        if ( mappings[i].live && mappings[i].granter == granter )
            return true;
    return false;
}

static void end(const struct step *s)
{
    unsigned int d = s->other % NR_DOMAINS;
    struct domain_seen seen;

    /* Not too often: what has been built up is gone with it. */
    if ( s->more % 8 && stock.see_domain(domids[d], &seen) )
        return;
    if ( stock.see_domain(domids[d], &seen) )
        end_domain(d);
    if ( !stock.see_domain(domids[d], &seen) && !recorded(d) )
    {
        kinds[d] = s->flags % 4 == 3 ? MAPLESS
                   : s->flags % 8 == 1 ? FEW_HANDLES : s->flags % 8 == 2 ? VERSION_1 : USUAL;
        begin(d);
    }
    count(END, 0);
}

static void preempt(const struct step *s)
{
    stock.preempt_every(s->more % 4);
    patched.preempt_every(s->more % 4);
}

static void take(const struct step *s)
{
    switch ( (enum what)(s->what % NR_WHAT) )
    {
    case GRANT: grant(s); break;
    case REVOKE: revoke(s); break;
    case MAP: map(s); break;
    case UNMAP: unmap(s, false); break;
    case REPLACE: unmap(s, true); break;
    case BAD_HANDLE: bad_handle(s); break;
    case COPY: copy(s); break;
    case VERSION: version(s); break;
    case GROW: grow(s); break;
    case SWAP: swap(s); break;
    case END: end(s); break;
    case PREEMPT: preempt(s); break;
    case HOLD: hold(s); break;
    case NR_WHAT: break;
    }
}

void differ_end(void)
{
    struct machine_seen machines[2];

    if ( result->differs || !same("all fits together", stock.at_rest(), true) ||
         !same("all fits together", true, patched.at_rest()) )
        return;
    for ( unsigned int d = 0; d < NR_DOMAINS; d++ )
        end_domain(d);
    stock.see_machine(&machines[0]);
    patched.see_machine(&machines[1]);
    same("domains left", machines[0].domains, machines[1].domains);
    same("domains left", 0, machines[1].domains);
    same("pages left of Xen's", machines[0].xen_pages, machines[1].xen_pages);
    same("pages left of Xen's", 0, machines[1].xen_pages);
}

void differ_begin(const struct setting *setting, struct outcome *outcome)
{
    now = *setting;
    result = outcome;
    memset(outcome, 0, sizeof(*outcome));
    nr_mappings = 0;
    stock.reset();
    patched.reset();
    patched.fast_maptrack(now.fast);
    memset(kinds, 0, sizeof(kinds));
    memset(held, 0, sizeof(held));
    for ( unsigned int d = 0; d < NR_DOMAINS; d++ )
        begin(d);
}

void differ_take(const struct step *step)
{
    if ( result->differs )
        return;
    result->done++;
    take(step);
    compare();
}

void differ_run(const struct setting *setting, const struct step *steps, size_t count,
                struct outcome *outcome)
{
    differ_begin(setting, outcome);
    for ( size_t i = 0; i < count && !outcome->differs; i++ )
        differ_take(&steps[i]);
    differ_end();
}

static uint64_t next(uint64_t *state)
{
    /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

/* Mostly mapping and unmapping, mostly by one domain of domain 2, mostly of a few references. */
void differ_steps(uint64_t seed, struct step *steps, size_t length)
{
    static const uint8_t usual[] = {
        GRANT, GRANT, GRANT, MAP, MAP, MAP, MAP, MAP, UNMAP, UNMAP, UNMAP, UNMAP, REVOKE, BAD_HANDLE,
        COPY, REPLACE,
    };
    const uint64_t world = next(&seed);
    const unsigned int mapper = world & 1, ref = world & 2 ? 2 : (world >> 8) % NR_REFS;
    const bool no_other_ref = !(world & 12);

    for ( size_t i = 0; i < length; i++ )
    {
        uint64_t bits = next(&seed), more = next(&seed);

        memcpy(&steps[i], &bits, sizeof(steps[i]));
        if ( more & 15 )
            steps[i].what = usual[more >> 4 & 15];
        if ( no_other_ref || (more >> 8 & 3) )
            steps[i].ref = ref + (more >> 12) % 3;
        if ( more >> 16 & 3 )
        {
            steps[i].actor = (steps[i].actor & ~3) | mapper;
            steps[i].other = 2;
        }
        if ( more >> 20 & 1 )
            steps[i].more &= ~3;
        if ( more >> 24 & 3 )
            steps[i].place %= 224;
    }
    /* In use, a table hardly ever changes its version; and few mappers end before their granters. */
    if ( length && (world & 48) == 0 )
    {
        steps[0] = (struct step){ .what = VERSION, .other = 2, .flags = 1 };
        steps[length - 1] = (struct step){ .what = END, .other = mapper };
    }
}

void differ_random(const struct setting *setting, uint64_t seed, size_t length, size_t count,
                   struct outcome *outcome, uint64_t *failing_seed)
{
    struct step *steps = malloc(length * sizeof(*steps));

    for ( size_t done = 0; done < count; done += length )
    {
        *failing_seed = seed + done / length;
        differ_steps(*failing_seed, steps, length);
        differ_run(setting, steps, length, outcome);
        if ( outcome->differs )
            break;
    }
    free(steps);
}

unsigned long differ_tally(unsigned int what, int status)
{
    return what < NR_WHAT ? tallies[what][status <= 0 && status > -31 ? -status : 31] : 0;
}
