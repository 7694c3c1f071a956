#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xencall.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>
#include <xen/xen.h>
#include <xen/memory.h>
#include <xen/grant_table.h>

#include "fake_xen.h"
#include "page.h"

#define INVALID_HANDLE 0xffffffffu
#define FAST_HANDLE 0x80000000u
#define FAKE_ENTRIES 2048
/* sizes of a grant entry of each version (xen/grant_table.h) */
#define V1_BYTES 8
#define V2_BYTES 16

struct fake_xen fake_xen = {
    .refused_gref = FAKE_NEVER,
    .changed_gref = FAKE_NEVER,
    .map_breaks = FAKE_NEVER,
    .unmap_breaks = FAKE_NEVER,
    .copy_breaks = FAKE_NEVER,
    .lost_copy = FAKE_NEVER,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* The handle of both libraries: nothing accesses its content. */
static char library_handle;

/* The second word of each granted page, the only one that changes; of the references below its size. */
static uint64_t marks[FAKE_ENTRIES];

void fake_xen_reset(void)
{
    memset(&fake_xen, 0, sizeof(fake_xen));
    fake_xen.refused_gref = fake_xen.changed_gref = FAKE_NEVER;
    fake_xen.map_breaks = fake_xen.unmap_breaks = fake_xen.copy_breaks = FAKE_NEVER;
    fake_xen.lost_copy = FAKE_NEVER;
    memset(marks, 0, sizeof(marks));
}

uint64_t fake_xen_frame(const void *address)
{
    return (uint64_t)(uintptr_t)address / XENLIB_PAGE_SIZE;
}

uint64_t fake_xen_pattern(uint32_t domid, uint32_t gref)
{
    return (uint64_t)domid << 32 | gref;
}

uint64_t fake_xen_bus_addr(uint32_t domid, uint32_t gref)
{
    return ((uint64_t)domid << 32 | gref) * XENLIB_PAGE_SIZE + ((uint64_t)1 << 50);
}

uint32_t fake_xen_map(bool device, uint32_t domid, uint32_t gref)
{
    uint32_t handle = 0;

    /* The lowest free entry, so that a stale handle soon belongs to another mapping. */
    while (handle < fake_xen.handles && fake_xen.maptrack[handle].live)
        handle++;
    if (handle == FAKE_MAPTRACK)
        abort();
    fake_xen.handles += handle == fake_xen.handles;
    fake_xen.maptrack[handle] = (struct fake_mapping){
        .device = device,
        .live = true,
        .domid = domid,
        .gref = gref,
    };
    fake_xen.live++;
    fake_xen.mapped++;
    return handle;
}

static void *open_handle(void)
{
    if (fake_xen.no_device) {
        errno = ENOENT;
        return NULL;
    }
    __atomic_fetch_add(&fake_xen.open, 1, __ATOMIC_RELAXED);
    return &library_handle;
}

static void count(int64_t operations)
{
    fake_xen.calls++;
    if (operations > fake_xen.largest)
        fake_xen.largest = operations;
}

/* Whether a mapping gets a fast handle: at most two of a reference, with the same flags. */
static bool gets_fast_handle(const gnttab_map_grant_ref_t *op)
{
    unsigned int live = 0;

    for (uint32_t i = 0; i < fake_xen.handles; i++) {
        const struct fake_mapping *m = &fake_xen.maptrack[i];

        if (!m->live || !m->fast || m->domid != op->dom || m->gref != op->ref)
            continue;
        if (m->readonly != !!(op->flags & GNTMAP_readonly))
            return false;
        live++;
    }
    return fake_xen.fast && op->ref >= 8 && op->ref < 65536 && live < 2;
}

/* If two mappings share a fast handle, the one that can be unmapped without a host address. */
static struct fake_mapping *find_mapping(uint32_t handle)
{
    struct fake_mapping *found = NULL;

    if (handle < fake_xen.handles && !fake_xen.maptrack[handle].fast)
        return &fake_xen.maptrack[handle];
    for (uint32_t i = 0; i < fake_xen.handles; i++) {
        struct fake_mapping *m = &fake_xen.maptrack[i];

        if (m->live && m->fast && handle == (FAST_HANDLE | m->domid << 16 | m->gref) &&
            (!found || m->device))
            found = m;
    }
    return found;
}

/* The frames of every domain's grant table; a version 2 table has its marks in the second array. */
static uint16_t shared[FAKE_ENTRIES * V2_BYTES / sizeof(uint16_t)];
static uint16_t status[FAKE_ENTRIES];

static void mark_entries(void)
{
    size_t entry = fake_xen.version2 ? V2_BYTES : V1_BYTES;

    memset(shared, 0, sizeof(shared));
    memset(status, 0, sizeof(status));
    for (uint32_t i = 0; i < fake_xen.handles; i++) {
        const struct fake_mapping *m = &fake_xen.maptrack[i];
        uint16_t *flags;

        if (!m->live || m->gref >= FAKE_ENTRIES)
            continue;
        flags = &shared[m->gref * entry / sizeof(uint16_t)];
        *flags |= GTF_permit_access;
        *(fake_xen.version2 ? &status[m->gref] : flags) |= GTF_reading;
    }
}

static int map_one(gnttab_map_grant_ref_t *op)
{
    bool fast = gets_fast_handle(op);
    struct fake_mapping *mapping;

    if (!(op->flags & (GNTMAP_device_map | GNTMAP_host_map)) && !fake_xen.maps_anything)
        return GNTST_bad_gntref;
    if (op->ref == fake_xen.refused_gref)
        return fake_xen.refused_status;
    op->handle = fake_xen_map(true, op->dom, op->ref);
    op->dev_bus_addr = fake_xen_bus_addr(op->dom, op->ref);
    mapping = &fake_xen.maptrack[op->handle];
    mapping->readonly = op->flags & GNTMAP_readonly;
    mapping->fast = fast;
    if (fast)
        op->handle = FAST_HANDLE | (uint32_t)op->dom << 16 | op->ref;
    return GNTST_okay;
}

static int unmap_one(const gnttab_unmap_grant_ref_t *op)
{
    struct fake_mapping *mapping = find_mapping(op->handle);

    fake_xen.offered++;
    if (!mapping || !mapping->live) {
        fake_xen.stale += op->handle != INVALID_HANDLE;
        return GNTST_bad_handle;
    }
    if (op->dev_bus_addr && op->dev_bus_addr != fake_xen_bus_addr(mapping->domid, mapping->gref))
        return GNTST_bad_dev_addr;
    if (op->host_addr && !mapping->device)
        return GNTST_bad_virt_addr;
    if (op->dev_bus_addr && mapping->device) {
        if (fake_xen.unmap_refused)
            return GNTST_general_error;
        mapping->live = false;
        fake_xen.live--;
    }
    return GNTST_okay;
}

/* Writes the content of a granted page. */
static void fill_page(uint64_t *page, uint32_t domid, uint32_t gref, size_t bytes)
{
    uint64_t word = fake_xen_pattern(domid, gref);

    page[0] = word ^ (gref == fake_xen.changed_gref);
    page[1] = gref < FAKE_ENTRIES ? marks[gref] : 0;
    if (bytes == XENLIB_PAGE_SIZE)
        page[XENLIB_PAGE_SIZE / sizeof(uint64_t) - 1] = word;
}

static int copy_one(bool from, uint32_t domid, uint32_t gref, uint64_t *local, size_t bytes)
{
    if (gref == fake_xen.refused_gref)
        return fake_xen.refused_status;
    if (bytes > XENLIB_PAGE_SIZE)
        return GNTST_bad_copy_arg;
    fake_xen.copied += (int64_t)bytes;
    if (gref == fake_xen.lost_copy)
        return GNTST_okay;
    if (from)
        fill_page(local, domid, gref, bytes);
    else if (gref < FAKE_ENTRIES && !fake_xen.lost_writes)
        marks[gref] = local[1];
    return GNTST_okay;
}

static int copy_by_frame(const gnttab_copy_t *op)
{
    bool from = op->flags == GNTCOPY_source_gref;
    const struct gnttab_copy_ptr *granted = from ? &op->source : &op->dest;
    const struct gnttab_copy_ptr *local = from ? &op->dest : &op->source;

    if (op->flags != GNTCOPY_source_gref && op->flags != GNTCOPY_dest_gref)
        return fake_xen.copies_anything ? GNTST_okay : GNTST_permission_denied;
    if (local->domid != DOMID_SELF || local->offset || granted->offset)
        abort();
    return copy_one(from, granted->domid, granted->u.ref,
                    (void *)(uintptr_t)(local->u.gmfn * XENLIB_PAGE_SIZE), op->len);
}

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    return open_handle();
}

int xencall_close(xencall_handle *call)
{
    (void)call;
    __atomic_fetch_sub(&fake_xen.open, 1, __ATOMIC_RELAXED);
    return 0;
}

void *xencall_alloc_buffer_pages(xencall_handle *call, size_t pages)
{
    void *buffer = fake_xen.no_buffer ? NULL
                                      : aligned_alloc(XENLIB_PAGE_SIZE, pages * XENLIB_PAGE_SIZE);

    (void)call;
    if (!buffer) {
        errno = ENOMEM;
        return NULL;
    }
    memset(buffer, 0xa5, pages * XENLIB_PAGE_SIZE); /* as after an earlier use */
    __atomic_fetch_add(&fake_xen.buffers, 1, __ATOMIC_RELAXED);
    return buffer;
}

void xencall_free_buffer_pages(xencall_handle *call, void *buffer, size_t pages)
{
    (void)call;
    (void)pages;
    free(buffer);
    __atomic_fetch_sub(&fake_xen.buffers, 1, __ATOMIC_RELAXED);
}

int xencall_fd(xencall_handle *call)
{
    (void)call;
    return -1; /* every ioctl fails */
}

int xencall3(xencall_handle *call, unsigned int op, uint64_t command, uint64_t ops, uint64_t n)
{
    bool map = command == GNTTABOP_map_grant_ref, copy = command == GNTTABOP_copy;
    int64_t breaks = map    ? fake_xen.map_breaks
                     : copy ? fake_xen.copy_breaks
                            : fake_xen.unmap_breaks;
    gnttab_map_grant_ref_t *maps = (void *)(uintptr_t)ops;
    gnttab_unmap_grant_ref_t *unmaps = (void *)(uintptr_t)ops;
    gnttab_copy_t *copies = (void *)(uintptr_t)ops;

    (void)call;
    if (op != __HYPERVISOR_grant_table_op || (!map && !copy && command != GNTTABOP_unmap_grant_ref))
        abort();
    pthread_mutex_lock(&lock);
    count((int64_t)n);
    for (uint64_t i = 0; i < n; i++) {
        if ((int64_t)i == breaks) {
            pthread_mutex_unlock(&lock);
            errno = EFAULT;
            return -1;
        }
        if (map)
            maps[i].status = (int16_t)map_one(&maps[i]);
        else if (copy)
            copies[i].status = (int16_t)copy_by_frame(&copies[i]);
        else
            unmaps[i].status = (int16_t)unmap_one(&unmaps[i]);
    }
    mark_entries();
    pthread_mutex_unlock(&lock);
    return 0;
}

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    if (!fake_xen.tables) {
        errno = ENOENT;
        return NULL;
    }
    return open_handle();
}

int xenforeignmemory_close(xenforeignmemory_handle *memory)
{
    (void)memory;
    __atomic_fetch_sub(&fake_xen.open, 1, __ATOMIC_RELAXED);
    return 0;
}

xenforeignmemory_resource_handle *
xenforeignmemory_map_resource(xenforeignmemory_handle *memory, domid_t domid, unsigned int type,
                              unsigned int id, unsigned long frame, unsigned long frames,
                              void **address, int prot, int flags)
{
    bool marks = id == XENMEM_resource_grant_table_id_status;

    (void)memory;
    (void)domid;
    (void)prot;
    (void)flags;
    if (type != XENMEM_resource_grant_table || frame ||
        frames * XENLIB_PAGE_SIZE > (marks ? sizeof(status) : sizeof(shared)) ||
        (marks && !fake_xen.version2)) {
        errno = EINVAL;
        return NULL;
    }
    *address = marks ? status : shared;
    return (void *)&library_handle;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *memory,
                                    xenforeignmemory_resource_handle *resource)
{
    (void)memory;
    (void)resource;
    return 0;
}

/* The frame of a page in the tests is its gref. */
void *xenforeignmemory_map(xenforeignmemory_handle *memory, uint32_t domid, int prot, size_t n,
                           const xen_pfn_t *frames, int *errors)
{
    uint32_t *domids = calloc(n, sizeof(*domids)), *grefs = calloc(n, sizeof(*grefs));
    void *pages = NULL;

    (void)memory;
    if (errors)
        abort();
    for (size_t i = 0; domids && grefs && i < n; i++) {
        domids[i] = domid;
        grefs[i] = (uint32_t)frames[i];
    }
    if (domids && grefs)
        pages = xengnttab_map_grant_refs((void *)&library_handle, (uint32_t)n, domids, grefs, prot);
    free(grefs);
    free(domids);
    return pages;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *memory, void *pages, size_t n)
{
    (void)memory;
    return xengnttab_unmap((void *)&library_handle, pages, (uint32_t)n);
}

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    return open_handle();
}

int xengnttab_close(xengnttab_handle *gnttab)
{
    (void)gnttab;
    __atomic_fetch_sub(&fake_xen.open, 1, __ATOMIC_RELAXED);
    return 0;
}

int xengnttab_fd(xengnttab_handle *gnttab)
{
    (void)gnttab;
    return -1; /* every ioctl fails */
}

/* As in gntdev, either all references are mapped or none. */
void *xengnttab_map_grant_refs(xengnttab_handle *gnttab, uint32_t n, uint32_t *domids,
                               uint32_t *grefs, int prot)
{
    size_t words = XENLIB_PAGE_SIZE / sizeof(uint64_t);
    uint64_t *pages;

    (void)gnttab;
    for (uint32_t i = 0; i < n; i++)
        if (grefs[i] == fake_xen.refused_gref) {
            errno = EINVAL;
            return NULL;
        }
    pages = mmap(NULL, (size_t)n * XENLIB_PAGE_SIZE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    pthread_mutex_lock(&lock);
    count(n);
    for (uint32_t i = 0; i < n; i++)
        fill_page(pages + i * words, domids[i], grefs[i], XENLIB_PAGE_SIZE);
    fake_xen.live += n;
    fake_xen.mapped += n;
    pthread_mutex_unlock(&lock);
    if (mprotect(pages, (size_t)n * XENLIB_PAGE_SIZE, prot))
        abort();
    return pages;
}

int xengnttab_unmap(xengnttab_handle *gnttab, void *pages, uint32_t n)
{
    (void)gnttab;
    if (fake_xen.gntdev_stuck) {
        errno = EBUSY;
        return -1;
    }
    if (munmap(pages, (size_t)n * XENLIB_PAGE_SIZE))
        abort();
    pthread_mutex_lock(&lock);
    fake_xen.live -= n;
    pthread_mutex_unlock(&lock);
    return 0;
}

int xengnttab_grant_copy(xengnttab_handle *gnttab, uint32_t n, xengnttab_grant_copy_segment_t *segs)
{
    (void)gnttab;
    pthread_mutex_lock(&lock);
    count(n);
    for (uint32_t i = 0; i < n; i++) {
        xengnttab_grant_copy_segment_t *segment = &segs[i];
        bool from = segment->flags == GNTCOPY_source_gref;
        const union xengnttab_copy_ptr *granted = from ? &segment->source : &segment->dest;
        const union xengnttab_copy_ptr *local = from ? &segment->dest : &segment->source;

        if ((int64_t)i == fake_xen.copy_breaks || granted->foreign.offset) {
            pthread_mutex_unlock(&lock);
            errno = EFAULT;
            return -1;
        }
        segment->status = (int16_t)copy_one(from, granted->foreign.domid, granted->foreign.ref,
                                            local->virt, segment->len);
    }
    pthread_mutex_unlock(&lock);
    return 0;
}
