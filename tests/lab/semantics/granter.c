#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "granter.h"

#define XEN_OVERHEAD_KB (4 * 32) /* memory that Xen itself accounts to a domain */
#define STAMP 0x67720000u

static struct granter granters[GRANTERS];

struct granter *granter_make(const char *name, unsigned int frames, unsigned int pages)
{
    struct xen_domctl_createdomain config = {
        .handle = "xengt", /* the prefix by which print_leftovers.py finds domains of xengt */
        .max_vcpus = 1,
        .max_evtchn_port = -1,
        .max_grant_frames = (int32_t)frames,
        .max_maptrack_frames = 0,
        .grant_opts = XEN_DOMCTL_GRANT_version(1),
    };
    struct granter *granter = granters;
    uint64_t *content;

    while (granter->made)
        if (++granter == granters + GRANTERS)
            errx(2, "more than %d granters", GRANTERS);
    snprintf(granter->name, sizeof(granter->name), "%s", name);
    granter->frames = frames;
    granter->pages = pages;
    granter->domid = 0;
    if (xc_domain_create(xch, &granter->domid, &config))
        err(3, "cannot create the domain of granter %s", name);
    granter->made = true;
    granter->mfns = calloc(pages, sizeof(xen_pfn_t));
    for (unsigned int i = 0; i < pages; i++)
        granter->mfns[i] = i;
    if (xc_domain_setmaxmem(xch, granter->domid, pages * 4 + XEN_OVERHEAD_KB) ||
        xc_domain_populate_physmap_exact(xch, granter->domid, pages, 0, 0, granter->mfns))
        err(3, "cannot allocate %u pages for granter %s", pages, name);
    content = xenforeignmemory_map(memory, granter->domid, PROT_READ | PROT_WRITE, pages,
                                   granter->mfns, NULL);
    if (!content)
        err(3, "cannot map the pages of granter %s", name);
    for (unsigned int i = 0; i < pages; i++)
        content[i * (PAGE / 8)] = granter_stamp(granter, i);
    xenforeignmemory_unmap(memory, content, pages);
    granter->resource = xenforeignmemory_map_resource(
        memory, (domid_t)granter->domid, XENMEM_resource_grant_table,
        XENMEM_resource_grant_table_id_shared, 0, frames, (void **)&granter->table,
        PROT_READ | PROT_WRITE, 0);
    if (!granter->resource)
        err(3, "cannot map the %u grant frames of granter %s", frames, name);
    return granter;
}

struct granter *granter_named(const char *name)
{
    /* Names can be reused: search the newest granter first. */
    for (struct granter *granter = granters + GRANTERS; granter-- > granters;)
        if (granter->made && !strcmp(granter->name, name))
            return granter;
    errx(2, "unknown granter %s", name);
}

struct granter *granter_at(unsigned int index)
{
    return index < GRANTERS && granters[index].made ? &granters[index] : NULL;
}

static grant_entry_v1_t *entry(const struct granter *granter, uint32_t gref)
{
    if (granter->destroyed || gref >= granter->frames * (PAGE / sizeof(grant_entry_v1_t)))
        return NULL;
    return &granter->table[gref];
}

void granter_permit(struct granter *granter, uint32_t gref, unsigned int page, bool readonly,
                    domid_t mapper)
{
    grant_entry_v1_t *permitted = entry(granter, gref);

    if (!permitted || page >= granter->pages)
        errx(2, "granter %s has no reference %u or no page %u", granter->name, gref, page);
    permitted->flags = 0;
    permitted->domid = mapper;
    permitted->frame = (uint32_t)granter->mfns[page];
    __sync_synchronize(); /* the entry is valid once flags is set */
    permitted->flags = GTF_permit_access | (readonly ? GTF_readonly : 0);
}

unsigned int granter_flags(const struct granter *granter, uint32_t gref)
{
    const grant_entry_v1_t *found = entry(granter, gref);

    return found ? *(volatile const uint16_t *)&found->flags : 0;
}

void granter_destroy(struct granter *granter)
{
    if (granter->destroyed)
        return;
    granter->destroyed = true;
    if (granter->resource)
        xenforeignmemory_unmap_resource(memory, granter->resource);
    if (xc_domain_destroy(xch, granter->domid))
        warn("cannot destroy domain %u of granter %s", granter->domid, granter->name);
}

const char *granter_state(const struct granter *granter, double seconds)
{
    const struct timespec step = { .tv_nsec = 20 * 1000 * 1000 };
    xc_domaininfo_t info;

    for (;; seconds -= 0.02) {
        if (xc_domain_getinfo_single(xch, granter->domid, &info) || memcmp(info.handle, "xengt", 5))
            return "gone";
        if (seconds <= 0)
            return info.flags & XEN_DOMINF_dying ? "dying" : "alive";
        nanosleep(&step, NULL);
    }
}

uint64_t granter_stamp(const struct granter *granter, unsigned int page)
{
    return (uint64_t)(STAMP + (unsigned int)(granter - granters)) << 32 | page;
}

const char *granter_of_stamp(uint64_t stamp)
{
    static char text[NAME_SIZE + 12];
    uint32_t index = (uint32_t)(stamp >> 32) - STAMP;

    if (index >= GRANTERS || !granters[index].made)
        return "?";
    snprintf(text, sizeof(text), "%s.%u", granters[index].name, (uint32_t)stamp);
    return text;
}
