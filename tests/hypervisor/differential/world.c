#include <string.h>

#include "world.h"

const uint32_t refs[NR_REFS] = { 0, 7, 8, 9, 10, 11, 511, 512, 1023, 65535, 65536, 66559 };
const unsigned int domids[NR_DOMAINS] = { 0, 1, 2, 0x7fef };

struct setting active_setting;
struct outcome *current_outcome;
struct mapping mappings[MAX_MAPPINGS];
unsigned int nr_mappings;
unsigned int nr_live[NR_DOMAINS][2];
enum domain_kind domain_kinds[NR_DOMAINS];
FILE *differ_trace;
static unsigned long tallies[NR_STEP_KINDS][32];

void report_difference(const char *what, long on_stock, long on_patched)
{
    if ( current_outcome->differs )
        return;
    current_outcome->differs = true;
    snprintf(current_outcome->message, sizeof(current_outcome->message),
             "%s: %#lx on stock, %#lx patched", what, on_stock, on_patched);
}

bool check_same(const char *what, long on_stock, long on_patched)
{
    if ( on_stock != on_patched )
        report_difference(what, on_stock, on_patched);
    return on_stock == on_patched;
}

unsigned int entry_of(unsigned int place)
{
    place %= NR_PLACES;
    return place / 2 * 331 + place % 2 * 1024;
}

bool translated(unsigned int domain)
{
    return active_setting.translated_mapper && domain == 1;
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
    struct domain_state state;

    return stock.read_domain(domids[domain], &state) && !state.dying;
}

bool usable(unsigned int domain)
{
    struct domain_state state;

    return stock.read_domain(domids[domain], &state) && !state.dying && !state.crashed;
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
        .iommu = domain == 0 && active_setting.strict_iommu,
        .vcpus = VCPUS,
        .max_version = domain_kinds[domain] == VERSION_1 ? 1 : 2,
        .grant_frames = GRANT_FRAMES,
        .maptrack_frames = domain_kinds[domain] == MAPLESS       ? 0
                           : domain_kinds[domain] == FEW_HANDLES ? 1
                                                                 : -1,
    };

    memset(nr_live[domain], 0, sizeof(nr_live[domain]));
    check_same("creating a domain", stock.create(domids[domain], &config),
               patched.create(domids[domain], &config));
}

/* Add the references of bus addresses to stock's counts. */
static void add_bus_references(struct page_state *page)
{
    for ( unsigned int i = 0; i < nr_mappings; i++ )
    {
        const struct mapping *m = &mappings[i];

        if ( !m->live || !own_bus(m->mapper, m->granter) || m->frame != page->frame )
            continue;
        page->references++;
        if ( (m->flags & GNTMAP_readonly) || translated(m->granter) )
            continue;
        page->types++;
        page->type = 7UL << 60;
    }
}

/* With skip-flush, CPUs set the flags of dom0's PTEs, and else Xen does. */
static uint64_t host_entry(const struct hypervisor *side, unsigned int domain, unsigned int place)
{
    const uint64_t accessed_and_dirty = 0x60;
    uint64_t entry = side->read_host_entry(domids[domain], entry_of(place));

    return active_setting.flush == 1 && domain == 0 ? entry & ~accessed_and_dirty : entry;
}

void compare(void)
{
    struct machine_state machines[2];

    for ( unsigned int d = 0; d < NR_DOMAINS; d++ )
    {
        struct domain_state states[2];
        struct entry_state entries[2];
        struct page_state pages[2];

        if ( !check_same("existence of a domain", stock.read_domain(domids[d], &states[0]),
                         patched.read_domain(domids[d], &states[1])) )
            return;
        check_same("crash of a domain", states[0].crashed, states[1].crashed);
        check_same("version of a table", states[0].version, states[1].version);
        check_same("grant frames", states[0].grant_frames, states[1].grant_frames);
        check_same("status frames", states[0].status_frames, states[1].status_frames);
        /* Stock leaves the mappings of a dying domain until its IOMMU page tables are freed. */
        if ( active_setting.strict_iommu != 2 || !states[1].dying )
            check_same("IOMMU mappings", states[0].iommu_mappings, states[1].iommu_mappings);
        if ( states[1].maptrack_frames > states[0].maptrack_frames )
            report_difference("more maptrack frames than stock", states[0].maptrack_frames,
                              states[1].maptrack_frames);
        /* If a batch crashes its caller, the number of completed requests is unknown. */
        if ( !states[1].crashed )
        {
            check_same("slow mappings counted", nr_live[d][0], states[1].slow);
            check_same("fast mappings counted", nr_live[d][1], states[1].fast);
        }
        for ( unsigned int r = 0; r < NR_REFS; r++ )
        {
            if ( !check_same("existence of a reference",
                             stock.read_entry(domids[d], refs[r], &entries[0]),
                             patched.read_entry(domids[d], refs[r], &entries[1])) )
                return;
            check_same("pins", entries[0].pin, entries[1].pin);
            check_same("flags", entries[0].flags, entries[1].flags);
            check_same("status", entries[0].status, entries[1].status);
            check_same("mapper", entries[0].mapper, entries[1].mapper);
        }
        for ( unsigned int n = 0; n < NR_PAGES + L1_PAGES; n++ )
        {
            unsigned int p = n < NR_PAGES ? n : RAM_PAGES + n - NR_PAGES;

            stock.read_page(domids[d], p, &pages[0]);
            patched.read_page(domids[d], p, &pages[1]);
            if ( active_setting.strict_iommu == 2 )
            {
                /* The remaining mappings of a crashed domain 0 are unknown. */
                if ( !usable(0) )
                    continue;
                add_bus_references(&pages[0]);
            }
            check_same("references of a page", pages[0].references, pages[1].references);
            check_same("type of a page", pages[0].type, pages[1].type);
            check_same("type count of a page", pages[0].types, pages[1].types);
            if ( active_setting.strict_iommu )
                check_same("IOMMU permissions", stock.read_iommu(domids[0], domids[d], p),
                           patched.read_iommu(domids[0], domids[d], p));
        }
        for ( unsigned int place = 0; place < NR_PLACES; place++ )
            check_same("host mapping", host_entry(&stock, d, place),
                       host_entry(&patched, d, place));
    }
    stock.read_machine(&machines[0]);
    patched.read_machine(&machines[1]);
    check_same("domains", machines[0].domains, machines[1].domains);
}

void count_status(enum step_kind kind, int status)
{
    tallies[kind][status <= 0 && status > -31 ? -status : 31]++;
}

unsigned long differ_tally(unsigned int kind, int status)
{
    return kind < NR_STEP_KINDS ? tallies[kind][status <= 0 && status > -31 ? -status : 31] : 0;
}

void allocations_fail(bool fail)
{
    stock.fail_allocations(fail ? 0 : -1);
    patched.fail_allocations(fail ? 0 : -1);
}

void begin_world(const struct setting *setting, struct outcome *outcome)
{
    active_setting = *setting;
    current_outcome = outcome;
    memset(outcome, 0, sizeof(*outcome));
    nr_mappings = 0;
    stock.reset();
    patched.reset();
    patched.fast_maptrack(active_setting.fast);
    patched.bus_region(own_bus(0, 1));
    patched.batch_flush(active_setting.flush != 2);
    patched.skip_flush(active_setting.flush == 1);
    memset(domain_kinds, 0, sizeof(domain_kinds));
}
