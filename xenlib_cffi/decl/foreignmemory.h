/* xenforeignmemory.h, and the version 1 grant entry of xen/grant_table.h */
typedef struct xenforeignmemory_handle xenforeignmemory_handle;
typedef struct xenforeignmemory_resource_handle xenforeignmemory_resource_handle;
typedef unsigned long xen_pfn_t;

static const int PROT_READ;
static const int PROT_WRITE;
static const int XENMEM_resource_grant_table;
static const int XENMEM_resource_grant_table_id_shared;
static const int XENMEM_resource_grant_table_id_status;

xenforeignmemory_handle *xenforeignmemory_open(xentoollog_logger *logger, unsigned open_flags);
int xenforeignmemory_close(xenforeignmemory_handle *fmem);
void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                           const xen_pfn_t *arr, int *err);
int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages);
xenforeignmemory_resource_handle *
xenforeignmemory_map_resource(xenforeignmemory_handle *fmem, uint16_t domid, unsigned int type,
                              unsigned int id, unsigned long frame, unsigned long nr_frames,
                              void **paddr, int prot, int flags);
int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                    xenforeignmemory_resource_handle *fres);
int xenforeignmemory_resource_size(xenforeignmemory_handle *fmem, uint16_t domid, unsigned int type,
                                   unsigned int id, size_t *size);

static const int GTF_permit_access;
static const int GTF_readonly;
static const int GTF_reading;
static const int GTF_writing;

typedef struct grant_entry_v1 {
    uint16_t flags;
    uint16_t domid;
    uint32_t frame;
} grant_entry_v1_t;
