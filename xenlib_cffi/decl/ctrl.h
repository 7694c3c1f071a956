/* xenctrl.h, xen/domctl.h, xen/sysctl.h, xen/version.h, and csrc/empty_domain.h */
typedef struct xc_interface_core xc_interface;

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger,
                                unsigned open_flags);
int xc_interface_close(xc_interface *xch);

int empty_domain_create(xc_interface *xch, const uint8_t uuid[16], uint32_t max_grant_frames,
                        uint32_t *domid);
int xc_domain_destroy(xc_interface *xch, uint32_t domid);
int xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t max_memkb);
int xc_domain_populate_physmap_exact(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
                                     unsigned int extent_order, unsigned int mem_flags,
                                     xen_pfn_t *extent_start);

static const int XEN_DOMINF_dying;
static const int XEN_DOMINF_hvm_guest;
static const int XEN_DOMINF_shutdown;
static const int XEN_DOMINF_paused;

typedef struct {
    uint16_t domain;
    uint32_t flags;
    uint64_t tot_pages;
    uint64_t max_pages;
    uint32_t nr_online_vcpus;
    uint8_t handle[16];
    ...;
} xc_domaininfo_t;

int xc_domain_getinfolist(xc_interface *xch, uint32_t first_domain, unsigned int max_domains,
                          xc_domaininfo_t *info);

static const int XENVER_extraversion;
static const int XENVER_compile_info;
static const int XENVER_capabilities;
static const int XENVER_changeset;
static const int XENVER_commandline;
static const int XENVER_build_id;

struct xen_compile_info {
    char compiler[64];
    char compile_by[16];
    char compile_domain[32];
    char compile_date[32];
};

struct xen_build_id {
    uint32_t len;
    ...;
};

int xc_version(xc_interface *xch, int cmd, void *arg);

static const int XEN_SYSCTL_PHYSCAP_hvm;
static const int XEN_SYSCTL_PHYSCAP_pv;
static const int XEN_SYSCTL_PHYSCAP_directio;

typedef struct {
    uint32_t nr_cpus;
    uint32_t nr_nodes;
    uint32_t cpu_khz;
    uint32_t capabilities;
    uint64_t total_pages;
    uint64_t free_pages;
    uint64_t scrub_pages;
    ...;
} xc_physinfo_t;

int xc_physinfo(xc_interface *xch, xc_physinfo_t *info);

int xc_send_debug_keys(xc_interface *xch, const char *keys);
int xc_readconsolering(xc_interface *xch, char *buffer, unsigned int *pnr_chars, int clear,
                       int incremental, uint32_t *pindex);

struct gnttab_query_size {
    uint16_t dom;
    uint32_t nr_frames;
    uint32_t max_nr_frames;
    int16_t status;
    ...;
};

int xc_gnttab_query_size(xc_interface *xch, struct gnttab_query_size *query);
int xc_gnttab_get_version(xc_interface *xch, uint32_t domid);
