/* Frames of page tables, and an IOMMU that caches entries of the upper levels. */
#ifndef FRAMES_H
#define FRAMES_H

#include "machine.h"

/* First frame number of the bus region. */
#define REGION (1ULL << 28)

/* Number of tables allocated so far, in use now, and in use at most. */
extern unsigned long allocations;
extern unsigned int in_use, max_in_use;
/* Number of full flushes, of failed allocations, and of messages that Xen logged about these. */
extern unsigned long full_flushes;
extern unsigned int failed_allocations;
/* Flags of the last flush of a new mapping. */
extern unsigned int last_flush;
/* Whether allocations fail, and the number of arrays that cannot be allocated at first. */
extern bool no_memory;
extern unsigned int failing_arrays;

void seed_random(uint64_t seed);
unsigned int random_below(unsigned int below);
void create_frames(void);
/* Flush as the caller of the driver does, and free the tables that were queued before. */
void flush(struct domain *d, unsigned int flush_flags);
bool any_table_queued(void);
/* What a device finds at a bus frame: the frame and IOMMUF_* flags, 0 if the access faults. */
unsigned long device_access(const struct domain *d, uint64_t dfn, unsigned int *flags);

#endif
