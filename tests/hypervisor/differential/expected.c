#include <stddef.h>
#include <stdint.h>

#define __XEN_TOOLS__ 1
#include <public/xen.h>
#include <public/grant_table.h>

#include "expected.h"

#define FAST (1U << 31)
#define RECORDED_FLAGS \
    (GNTMAP_device_map | GNTMAP_host_map | GNTMAP_readonly | GNTMAP_application_map | \
     GNTMAP_contains_pte)
/* p2m_type_t of ../harness/machine.h */
enum { GRANT_RW = 4, GRANT_RO = 5 };

/* Ten bits derived from the frame number. */
static unsigned int tag(uint64_t host_addr)
{
    uint64_t frame = host_addr >> 12;

    return (frame ^ frame >> 10 ^ frame >> 20) & 0x3ff;
}

static bool is_at(const struct mapping *mapping, uint64_t host_addr)
{
    return mapping->tagged ? tag(mapping->host_addr) == tag(host_addr) : tag(host_addr) == 0;
}

static bool shares(const struct mapping *a, unsigned int mapper, uint32_t handle)
{
    return a->live && a->mapper == mapper && a->handle[1] == handle;
}

/* Reserved references and those that do not fit into a handle are never fast. */
enum { FIRST_FAST_REF = 8, LAST_FAST_REF = 65535 };

bool expect_fast(const struct mapping *mappings, unsigned int nr, const struct mapping *making)
{
    const struct mapping *other = NULL;
    unsigned int kinds, differ;

    if ( making->in_iommu || making->ref < FIRST_FAST_REF || making->ref > LAST_FAST_REF )
        return false;
    for ( unsigned int i = 0; i < nr; i++ )
    {
        const struct mapping *m = &mappings[i];

        if ( !m->live || m->mapper != making->mapper || m->granter != making->granter ||
             m->ref != making->ref || !(m->handle[1] & FAST) )
            continue;
        if ( other )
            return false;
        other = m;
    }
    if ( !other )
        return true;
    kinds = (making->flags | other->flags) & (GNTMAP_device_map | GNTMAP_host_map);
    differ = (making->flags ^ other->flags) & RECORDED_FLAGS;
    if ( kinds == GNTMAP_host_map && tag(making->host_addr) != tag(other->host_addr) )
        return true;
    if ( kinds == GNTMAP_host_map && making->exact )
        return false;
    return kinds != (GNTMAP_device_map | GNTMAP_host_map) && !differ;
}

uint32_t fast_handle(unsigned int domid, uint32_t ref)
{
    return FAST | domid << 16 | ref;
}

unsigned int expected_slot(const struct mapping *mappings, unsigned int nr,
                           const struct mapping *made)
{
    for ( unsigned int i = 0; i < nr; i++ )
        if ( &mappings[i] != made && shares(&mappings[i], made->mapper, made->handle[1]) &&
             mappings[i].slot == 0 )
            return 1;
    return 0;
}

static struct mapping *select_mapping(struct mapping *first, struct mapping *second,
                                      uint64_t host_addr)
{
    if ( !first || !second )
        return first ? first : second;
    if ( !host_addr || is_at(first, host_addr) )
        return first;
    if ( is_at(second, host_addr) )
        return second;
    return (first->flags ^ second->flags) & RECORDED_FLAGS ? NULL : first;
}

struct expected_unmap expect_unmap(struct mapping *mappings, unsigned int nr, unsigned int mapper,
                                   uint32_t handle, uint64_t host_addr, uint64_t bus_addr,
                                   bool translated, uint64_t host, const bool *gone)
{
    struct mapping *candidates[2] = { NULL, NULL };
    struct expected_unmap about = { NULL, false, 0 };

    for ( unsigned int i = 0; i < nr; i++ )
        if ( shares(&mappings[i], mapper, handle) )
            candidates[handle & FAST ? mappings[i].slot : 0] = &mappings[i];

    for ( unsigned int i = 0; i < 2; i++ )
        if ( (handle & FAST) && candidates[i] && gone[candidates[i]->granter] )
            return (struct expected_unmap){ NULL, true, GNTST_bad_handle };

    for ( unsigned int i = 0; i < 2 && bus_addr; i++ )
        if ( candidates[i] && candidates[i]->own_bus )
        {
            if ( candidates[i]->bus_addr[1] == bus_addr )
                return (struct expected_unmap){ candidates[i], false, 0 };
            about.not_on_stock = true;
        }
    if ( about.not_on_stock )
        return (struct expected_unmap){ NULL, true, GNTST_bad_dev_addr };

    about.mapping = select_mapping(candidates[0], candidates[1], host_addr);
    if ( !about.mapping && (candidates[0] || candidates[1]) )
        return (struct expected_unmap){ NULL, true, GNTST_general_error };

    if ( about.mapping && translated && host_addr && (about.mapping->flags & GNTMAP_host_map) )
    {
        unsigned int expected = about.mapping->flags & GNTMAP_readonly ? GRANT_RO : GRANT_RW;
        unsigned int type = host & 0xff;

        if ( (type == GRANT_RW || type == GRANT_RO) && type != expected )
            return (struct expected_unmap){ NULL, true, GNTST_general_error };
    }
    return about;
}
