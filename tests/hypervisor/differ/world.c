#include <string.h>

#include "world.h"

const uint32_t refs[NR_REFS] = { 0, 7, 8, 9, 10, 11, 511, 512, 1023, 65535, 65536, 66559 };
const unsigned int domids[NR_DOMAINS] = { 0, 1, 2, 0x7fef };

struct setting now;
struct outcome *result;
struct mapping mappings[MAX_MAPPINGS];
unsigned int nr_mappings;
unsigned int nr_live[NR_DOMAINS][2];
enum kind kinds[NR_DOMAINS];
FILE *differ_trace;
static unsigned long tallies[NR_WHAT][32];

void differs(const char *what, long is_stock, long is_patched)
{
    if ( result->differs )
        return;
    result->differs = true;
    snprintf(result->what, sizeof(result->what), "%s: %#lx on stock, %#lx patched", what, is_stock,
             is_patched);
}

bool same(const char *what, long is_stock, long is_patched)
{
    if ( is_stock != is_patched )
        differs(what, is_stock, is_patched);
    return is_stock == is_patched;
}

unsigned int entry_of(unsigned int place)
{
    place %= NR_PLACES;
    return place / 2 * 331 + place % 2 * 1024;
}

bool translated(unsigned int domain)
{
    return now.translated_mapper && domain == 1;
}

uint64_t address_of(const struct hypervisor *side, unsigned int domain, unsigned int place,
                    unsigned int flags)
{
    unsigned int entry = entry_of(place);

    if ( translated(domain) )
        return ((uint64_t)RAM_PAGES + entry) << 12 | (place >= 128 ? 0x123 : 0);
    if ( flags & GNTMAP_contains_pte )
        return side->pte_address(domids[domain], entry) + (place >= 224 ? 1 : 0);
    return LINEAR_BASE + ((uint64_t)entry << 12) + (place >= 128 ? 0x123 : 0);
}

bool alive(unsigned int domain)
{
    struct domain_seen seen;

    return stock.see_domain(domids[domain], &seen) && !seen.dying;
}

bool usable(unsigned int domain)
{
    struct domain_seen seen;

    return stock.see_domain(domids[domain], &seen) && !seen.dying && !seen.crashed;
}

void enter_both(unsigned int domain, unsigned int vcpu)
{
    stock.enter(domids[domain], vcpu % VCPUS, 0);
    patched.enter(domids[domain], vcpu % VCPUS, 0);
}

void create(unsigned int domain)
{
    const struct domain_config config = {
        .translated = translated(domain),
        .iommu = domain == 0 && now.strict_iommu,
        .vcpus = VCPUS,
        .max_version = kinds[domain] == VERSION_1 ? 1 : 2,
        .grant_frames = GRANT_FRAMES,
        .maptrack_frames = kinds[domain] == MAPLESS       ? 0
                           : kinds[domain] == FEW_HANDLES ? 1
                                                          : -1,
    };

    memset(nr_live[domain], 0, sizeof(nr_live[domain]));
    same("creating a domain", stock.create(domids[domain], &config),
         patched.create(domids[domain], &config));
}

/*
 * Where a mapping's bus address has references of its own, they outlast those that stock has for the
 * device mapping.
 */
static void expect_more(struct page_seen *page)
{
    for ( unsigned int i = 0; i < nr_mappings; i++ )
    {
        const struct mapping *m = &mappings[i];

        if ( !m->live || !own_bus(m->mapper, m->granter) || m->frame != page->frame ||
             (m->flags & GNTMAP_device_map) )
            continue;
        page->references++;
        if ( (m->flags & GNTMAP_readonly) || translated(m->granter) )
            continue;
        page->types++;
        page->type = 7UL << 60;
    }
}

void compare(void)
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
        /* Stock leaves those of a dying domain for its IOMMU's end. */
        if ( now.strict_iommu != 2 || !is[1].dying )
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
            if ( now.strict_iommu == 2 )
            {
                /* What is left of its mappings, is not known of who has crashed. */
                if ( !usable(0) )
                    continue;
                expect_more(&pages[0]);
            }
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

void count(enum what what, int status)
{
    tallies[what][status <= 0 && status > -31 ? -status : 31]++;
}

unsigned long differ_tally(unsigned int what, int status)
{
    return what < NR_WHAT ? tallies[what][status <= 0 && status > -31 ? -status : 31] : 0;
}

void allocations_fail(bool fail)
{
    stock.fail_allocations(fail ? 0 : -1);
    patched.fail_allocations(fail ? 0 : -1);
}

void begin_world(const struct setting *setting, struct outcome *outcome)
{
    now = *setting;
    result = outcome;
    memset(outcome, 0, sizeof(*outcome));
    nr_mappings = 0;
    stock.reset();
    patched.reset();
    patched.fast_maptrack(now.fast);
    patched.bus_region(own_bus(0, 1));
    memset(kinds, 0, sizeof(kinds));
}
