/*
 * What dom0 and the guest share: a few pages of the guest's, which dom0 maps.
 * dom0/exchange.py is the other side of this file.
 */
#ifndef MAPPER_MAILBOX_H
#define MAPPER_MAILBOX_H

#include <stdint.h>

/*
 * The frame of the mailbox's first page is written here, in the page of the
 * console's ring, which is shorter than a page and which dom0 finds anyway.
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
    VERSION_LOOP,  /* our table, rounds (0: until stopped), first, count, to whom, frames */
    SWEEP,         /* first handle, count, address, stride */
    GRANT_FRAMES,  /* address, count: make our own grant table seen there */
    END,           /* SHUTDOWN_* */
};

struct step {
    uint64_t verb;
    uint64_t arg[6];
    int64_t result;
};

#define FAULTED INT64_MIN /* result of READ and WRITE */

enum counter {
    MAPPED, /* operations that came back GNTST_okay */
    MAP_REFUSED,
    MAP_STATUS, /* the last status that was not */
    UNMAPPED,
    UNMAP_REFUSED,
    UNMAP_STATUS,
    WRONG_PAGE, /* a host mapping whose page bears another reference's stamp */
    ROUNDS,
    SWITCHED, /* grant table versions taken */
    SWITCH_REFUSED,
    COUNTERS,
};

struct mailbox {
    uint32_t asked;   /* dom0: one more for every list of steps */
    uint32_t done;    /* guest: as `asked`, once all of them are done */
    uint32_t steps;   /* dom0: how many */
    uint32_t stop;    /* dom0: a loop shall end */
    uint64_t address; /* guest: where it sees the mailbox itself */
    uint64_t pv;      /* guest: whether it is a PV guest */
    int64_t counter[16];
    uint64_t frame[ARENA_PAGES]; /* guest: of the mailbox's pages */
};

/* The first 8 bytes of a granted page say which it is. */
#define STAMP(domid, gref) (0x5e00000000000000ull | (uint64_t)(domid) << 32 | (gref))

#endif
