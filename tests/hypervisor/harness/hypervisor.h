/*
 * What can be asked of a hypervisor in user space: Xen's own grant_table.c, stock or patched, with
 * the rest of Xen played by the other files here.  One constant of type `struct hypervisor` is all
 * that such a build exports, so that two of them fit into one program.
 *
 * Guests are played by the caller: it enters a vCPU, asks for operations with Xen's public
 * structures, and writes grant entries.  What must never happen aborts the program, as it would
 * crash the host.
 */
#ifndef HYPERVISOR_H
#define HYPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MAX_DOMAINS = 128, /* alive at once */
    MAX_CPUS = 8,      /* threads that may be in the hypervisor at once */
    RAM_PAGES = 64,    /* of each domain, to be granted */
    L1_PAGES = 8,      /* of each domain, whose entries are where a PV domain maps */
    ENTRIES = L1_PAGES * 512,
};

/* Where the PTEs of L1 page n are, as a guest's linear address; entry by entry, a page each. */
#define LINEAR_BASE 0xffff880000000000ULL

struct domain_config {
    bool translated; /* HVM or PVH: a p2m, and no page tables of its own */
    bool iommu;      /* strict mode: what it maps, its devices reach */
    unsigned int vcpus;
    unsigned int max_version; /* of its grant table */
    int grant_frames;         /* limits; -1: Xen's defaults */
    int maptrack_frames;
};

/* A reference, as the granter and Xen see it. */
struct entry_seen {
    uint32_t pin;
    uint16_t flags, status, domid;
    uint16_t mapper; /* whose pins they are; only meaningful if there are any */
    uint64_t frame;  /* what they pin; likewise */
};

/* A page of a domain's. */
struct page_seen {
    uint64_t references, type, types, frame;
};

/* What a domain holds of Xen's. */
struct domain_seen {
    bool crashed, dying;
    unsigned int version, grant_frames, maptrack_frames, status_frames;
    unsigned int iommu_mappings;
    unsigned long fast, slow; /* mappings, live: as the hypervisor counts them; 0 on stock */
};

/* Of the whole machine. */
struct machine_seen {
    unsigned long xen_pages; /* allocated for Xen's own use */
    unsigned long domains;   /* not yet gone, the dying included */
};

/* What Xen's locks are of: an entry, the table of either side, or the maptrack table. */
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

/* Is told what is at an address, and whose; @domid is -1 of what is no domain's. */
typedef void (*place_teller)(const char *what, int domid, const void *from, unsigned long size);

struct hypervisor {
    const char *name;
    unsigned int active_entry_size;

    /* A new world, in which nothing is left of the old one. */
    void (*reset)(void);
    /* Whether fast mappings are made: the boot option.  Before any domain is created. */
    void (*fast_maptrack)(bool enabled);
    /* Whether each mapping has a bus address of its own, in strict mode: likewise. */
    void (*bus_region)(bool enabled);
    /* Have Xen's own allocations fail after this many; -1: never. */
    void (*fail_allocations)(long after);
    /* Have a batch be interrupted every so many requests; 0: never. */
    void (*preempt_every)(unsigned int requests);

    int (*create)(unsigned int domid, const struct domain_config *config);
    /* One step of a domain's end, on the CPU of the caller; whether that was the last. */
    bool (*kill)(unsigned int domid);

    /* This thread is vCPU @vcpu of a domain from now on, on CPU @cpu, which no other thread is. */
    void (*enter)(unsigned int domid, unsigned int vcpu, unsigned int cpu);
    /* grant_table_op: Xen's commands and structures, continued until it is done. */
    long (*operate)(unsigned int command, void *requests, unsigned int count);
    /* This thread is in no hypercall for a while. */
    void (*leave)(void);

    /* What a guest says of its page @page: a frame number for grant entries. */
    uint64_t (*gfn)(unsigned int domid, unsigned int page);
    /* Where a PV guest's entry @entry is: a machine address, for GNTMAP_contains_pte. */
    uint64_t (*pte_address)(unsigned int domid, unsigned int entry);
    /* The contents of a page: what is written there, is read by who has it mapped. */
    void *(*page)(unsigned int domid, unsigned int page);
    /* Write a grant entry as the granter's kernel does, in the table's present version. */
    bool (*grant)(unsigned int domid, uint32_t ref, unsigned int flags, unsigned int to,
                  uint64_t gfn);
    /* Take it back as that does: not while it is in use. */
    bool (*revoke)(unsigned int domid, uint32_t ref);

    /*
     * Have frame @index of the table (with XENMAPIDX_grant_table_status, of its statuses) used by
     * the domain until it is dropped.
     */
    int (*hold_frame)(unsigned int domid, unsigned long index, uint64_t *frame);
    void (*drop_frame)(uint64_t frame);
    /*
     * Be told what goes on inside, by name, and of what: a frame, an index, a lock.  Of what can
     * fail, other than 0 has it fail.  The watcher may enter as another vCPU, on another CPU, and
     * operate.  NULL: no more.  Only there if compiled with EVENTS.
     */
    void (*watch)(int (*with)(const char *what, uint64_t about));

    bool (*see_entry)(unsigned int domid, uint32_t ref, struct entry_seen *seen);
    bool (*see_page)(unsigned int domid, unsigned int page, struct page_seen *seen);
    bool (*see_domain)(unsigned int domid, struct domain_seen *seen);
    void (*see_machine)(struct machine_seen *seen);
    /* What is at entry @entry, or gfn, of a mapper's: a PTE, or frame and type; 0: nothing. */
    uint64_t (*see_host)(unsigned int domid, unsigned int entry);
    /* What a domain's devices may do to page @page of another's: 1 read, 2 write. */
    unsigned int (*see_iommu)(unsigned int domid, unsigned int of, unsigned int page);
    /* The locks this thread has taken since it last asked; false: built without COUNT. */
    bool (*see_locks)(unsigned long taken[NR_LOCK_KINDS]);
    /* What of the hypervisor's is where, now. */
    void (*see_places)(place_teller tell);
    /* Whether everything that was left at rest fits together; says on stderr what does not. */
    bool (*at_rest)(void);
};

#endif
