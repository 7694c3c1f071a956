/*
 * Interface to a hypervisor in user space: Xen's grant_table.c, stock or patched, with the rest of
 * Xen emulated by the other files in this directory.  Each build exports only one constant of type
 * `struct hypervisor`, so that two builds can be linked into one program.
 *
 * The caller acts as the guests: it enters a vCPU, makes hypercalls with Xen's public structures
 * and writes grant entries.  A BUG() or failed assertion, which would crash the host, aborts the
 * program.
 */
#ifndef HYPERVISOR_H
#define HYPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MAX_DOMAINS = 128, /* alive at once */
    MAX_CPUS = 8,      /* threads in the hypervisor at once */
    RAM_PAGES = 64,    /* grantable pages of each domain */
    L1_PAGES = 8,      /* L1 page tables of each PV domain, in which it maps grants */
    ENTRIES = L1_PAGES * 512,
};

/* Linear address that L1 entry 0 maps; entry n maps the n-th page from there. */
#define LINEAR_BASE 0xffff880000000000ULL

struct domain_config {
    bool translated; /* HVM or PVH: with a p2m, without PV page tables */
    bool iommu;      /* IOMMU in strict mode */
    bool old_kernel; /* which does not support bus addresses of mappings */
    unsigned int vcpus;
    unsigned int max_version; /* of its grant table */
    int grant_frames;         /* limits; -1: Xen's defaults */
    int maptrack_frames;
};

/* State of a reference: its shared entry and its active entry. */
struct entry_state {
    uint32_t pin;
    uint16_t flags, status, domid;
    uint16_t mapper; /* domid of the active entry; 0 if there are no pins */
    uint64_t frame;  /* frame of the active entry; 0 if there are no pins */
};

/* Reference and type counts of a page. */
struct page_state {
    uint64_t references, type, types, frame;
};

/* State of a domain and sizes of its tables. */
struct domain_state {
    bool crashed, dying;
    unsigned int version, grant_frames, maptrack_frames, status_frames;
    unsigned int iommu_mappings;
    /* Live mappings and flushes as counted by the patched hypervisor; 0 on stock. */
    unsigned long fast, slow, flushes, skipped_flushes;
};

/* Totals over all domains. */
struct machine_state {
    unsigned long xen_pages; /* pages allocated by Xen */
    unsigned long domains;   /* not yet freed, including dying ones */
};

/* Kinds of Xen's locks. */
enum lock_kind {
    LOCK_ENTRY,
    LOCK_GRANTER_READ,
    LOCK_GRANTER_WRITE,
    LOCK_MAPPER_READ,
    LOCK_MAPPER_WRITE,
    LOCK_FREE_LIST,
    LOCK_MAPTRACK,
    LOCK_OTHER,
    NR_LOCK_KINDS,
};

/* Reports a memory range and its owner; @domid is -1 if it belongs to no domain. */
typedef void (*memory_callback)(const char *what, int domid, const void *start, unsigned long size);

struct hypervisor {
    const char *name;
    unsigned int active_entry_size;

    /* Free all domains and memory and restore the defaults. */
    void (*reset)(void);
    /* Set the boot option gnttab=fast-maptrack.  Call it before any domain is created. */
    void (*fast_maptrack)(bool enabled);
    /* Set the boot option gnttab=bus-region, likewise. */
    void (*bus_region)(bool enabled);
    /* Set the boot options gnttab=batch-flush and gnttab=skip-flush. */
    void (*batch_flush)(bool enabled);
    void (*skip_flush)(bool enabled);
    /* Make allocations fail after @after successful ones; -1: never. */
    void (*fail_allocations)(long after);
    /* Make every @checks-th preemption check ask for a continuation; 0: none. */
    void (*preempt_every)(unsigned int checks);

    int (*create)(unsigned int domid, const struct domain_config *config);
    /* Do one step of a domain's destruction; return whether it was the last. */
    bool (*destroy_step)(unsigned int domid);

    /* Make this thread vCPU @vcpu of a domain, on CPU @cpu, which no other thread may use. */
    void (*enter)(unsigned int domid, unsigned int vcpu, unsigned int cpu);
    /* Make a grant_table_op hypercall, with its continuations; return its result. */
    long (*operate)(unsigned int command, void *requests, unsigned int count);
    /* Undo enter(): this thread runs no vCPU. */
    void (*leave)(void);

    /* Guest frame number of page @page of a domain, as in its grant entries. */
    uint64_t (*gfn)(unsigned int domid, unsigned int page);
    /* Machine address of L1 entry @entry of a PV domain, for GNTMAP_contains_pte. */
    uint64_t (*pte_address)(unsigned int domid, unsigned int entry);
    /*
     * Have a CPU access a page through L1 entry @entry of a PV domain, which sets the accessed flag
     * (and the dirty flag, if it writes) of the PTE; false: the entry is not present.
     */
    bool (*access)(unsigned int domid, unsigned int entry, bool write);
    /* Contents of page @page of a domain. */
    void *(*page)(unsigned int domid, unsigned int page);
    /* Write a grant entry as the granter's kernel does; false: the reference is out of bounds. */
    bool (*grant)(unsigned int domid, uint32_t ref, unsigned int flags, unsigned int to,
                  uint64_t gfn);
    /* Revoke a grant as the granter's kernel does; false: the reference is in use. */
    bool (*revoke)(unsigned int domid, uint32_t ref);

    /*
     * Map frame @index of the grant table (with XENMAPIDX_grant_table_status: of the status frames)
     * into the domain and hold a reference to it until drop_frame().
     */
    int (*hold_frame)(unsigned int domid, unsigned long index, uint64_t *frame);
    void (*drop_frame)(uint64_t frame);
    /*
     * Call @handler for each event inside the hypervisor, with its name and subject (a frame, an
     * index or a lock).  A result other than 0 makes an operation that can fail do so.  The handler
     * may enter as another vCPU on another CPU and make hypercalls.  NULL removes the handler.
     * Only available if compiled with EVENTS.
     */
    void (*set_event_handler)(int (*handler)(const char *name, uint64_t subject));

    bool (*read_entry)(unsigned int domid, uint32_t ref, struct entry_state *seen);
    bool (*read_page)(unsigned int domid, unsigned int page, struct page_state *seen);
    bool (*read_domain)(unsigned int domid, struct domain_state *seen);
    void (*read_machine)(struct machine_state *seen);
    /* Entry @entry of a mapper: a PTE, or for a translated domain frame and type; 0: empty. */
    uint64_t (*read_host_entry)(unsigned int domid, unsigned int entry);
    /* IOMMU permissions of a domain for page @page of domain @of: 1 read, 2 write. */
    unsigned int (*read_iommu)(unsigned int domid, unsigned int of, unsigned int page);
    /* Return and reset this thread's counts of acquired locks; false: built without COUNT. */
    bool (*take_lock_counts)(unsigned long taken[NR_LOCK_KINDS]);
    /* Report all memory ranges of the hypervisor. */
    void (*list_memory)(memory_callback callback);
    /*
     * Check pins, reference counts, host and IOMMU mappings and handles against the records of live
     * mappings, while no hypercall is in progress.  Mismatches are written to stderr.
     */
    bool (*is_consistent)(void);
};

#endif
