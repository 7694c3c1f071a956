/* xencall.h, xen/grant_table.h, csrc/page.h and csrc/grant_ops.h */
typedef struct xencall_handle xencall_handle;

xencall_handle *xencall_open(xentoollog_logger *logger, unsigned int open_flags);
int xencall_close(xencall_handle *xcall);
int xencall0(xencall_handle *xcall, unsigned int op);
int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg1);
int xencall2(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2);
int xencall3(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3);
void *xencall_alloc_buffer_pages(xencall_handle *xcall, size_t nr_pages);
void xencall_free_buffer_pages(xencall_handle *xcall, void *p, size_t nr_pages);
int xencall_buffers_never_fault(xencall_handle *xcall);

static const int __HYPERVISOR_xen_version;
static const int __HYPERVISOR_grant_table_op;
static const int XENVER_version;

static const int GNTMAP_device_map;
static const int GNTMAP_host_map;
static const int GNTMAP_readonly;

static const int GNTST_okay;
static const int GNTST_general_error;
static const int GNTST_bad_domain;
static const int GNTST_bad_gntref;
static const int GNTST_bad_handle;
static const int GNTST_bad_virt_addr;
static const int GNTST_bad_dev_addr;
static const int GNTST_no_device_space;
static const int GNTST_permission_denied;
static const int GNTST_bad_page;
static const int GNTST_bad_copy_arg;
static const int GNTST_address_too_big;
static const int GNTST_eagain;
static const int GNTST_no_space;
#define STATUS_UNTOUCHED ...
#define XENLIB_PAGE_SIZE ...

typedef struct gnttab_map_grant_ref {
    uint64_t host_addr;
    uint32_t flags;
    uint32_t ref;
    uint16_t dom;
    int16_t status;
    uint32_t handle;
    uint64_t dev_bus_addr;
    ...;
} gnttab_map_grant_ref_t;

typedef struct gnttab_unmap_grant_ref {
    uint64_t host_addr;
    uint64_t dev_bus_addr;
    uint32_t handle;
    int16_t status;
    ...;
} gnttab_unmap_grant_ref_t;

int grant_map(xencall_handle *call, gnttab_map_grant_ref_t *ops, unsigned int count);
int grant_unmap(xencall_handle *call, gnttab_unmap_grant_ref_t *ops, unsigned int count);
int grant_sweep(xencall_handle *call, gnttab_unmap_grant_ref_t *ops, unsigned int room,
                uint64_t bus_addr, uint32_t first, uint32_t handles);
