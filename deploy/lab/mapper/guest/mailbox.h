/*
 * The pages of the guest that dom0 maps to send it steps.
 * dom0/mapper_mailbox.py contains the same layout.
 */
#ifndef MAPPER_MAILBOX_H
#define MAPPER_MAILBOX_H

#include <stdint.h>

/*
 * The guest writes the frame of the mailbox's first page here: at the unused end
 * of the page of the console ring, whose frame dom0 knows.
 */
#define BEACON_OFFSET 4080
#define BEACON_MAGIC 0x7265707061746778ull

#define ARENA_PAGES 64
#define STEPS_OFFSET 4096
#define STEPS_MAX 1024
#define DATA_OFFSET (STEPS_OFFSET + STEPS_MAX * 64)

enum verb {
    HYPERCALL = 1, /* number, five arguments */
    READ,          /* address -> the 8 bytes there */
    WRITE,         /* address, value */
    REACH,         /* address -> machine address of its page table entry (PV) */
    HOLD,          /* domid, first, count, flags, address, times */
    MAP_LOOP,      /* domid, first, count, flags, address, rounds (0: until stopped) */
    VERSION_LOOP,  /* own table, rounds (0: until stopped), first, count, domids, frames */
    SWEEP,         /* first handle, count, address, stride */
    GRANT_FRAMES,  /* address, count: map the own grant table there */
    END,           /* SHUTDOWN_* */
    SECOND_VCPU,   /* lets vCPU 1 run in an endless loop -> 0 or an error */
};

struct step {
    uint64_t verb;
    uint64_t arg[6];
    int64_t result;
};

#define FAULTED INT64_MIN /* result of READ and WRITE */

enum counter {
    MAPPED, /* operations with status GNTST_okay */
    MAP_REFUSED,
    MAP_STATUS, /* the last other status */
    UNMAPPED,
    UNMAP_REFUSED,
    UNMAP_STATUS,
    WRONG_PAGE, /* host mappings of a page with the stamp of another reference */
    ROUNDS,
    SWITCHED, /* changes of the grant table version */
    SWITCH_REFUSED,
    COUNTERS,
};

struct mailbox {
    uint32_t requested; /* dom0: incremented for every list of steps */
    uint32_t done;      /* guest: set to `requested` after the last step */
    uint32_t steps;     /* dom0: number of steps */
    uint32_t stop;      /* dom0: nonzero to end a loop */
    uint64_t address;   /* guest: its address of the mailbox */
    uint64_t pv;        /* guest: whether it is a PV guest */
    int64_t counter[16];
    uint64_t frame[ARENA_PAGES]; /* guest: frames of the mailbox */
};

/* The first 8 bytes of a granted page, which identify it. */
#define STAMP(domid, gref) (0x5e00000000000000ull | (uint64_t)(domid) << 32 | (gref))

#endif
