/*
 * Host addresses: places in this process's address space where grants can be mapped.
 *
 * A PV domain maps a grant by having Xen replace the page table entry of an address of its own.
 * Linux keeps no account of the pages below a foreign mapping, so that is what lies there before.
 */
#ifndef SEMANTICS_SLOTS_H
#define SEMANTICS_SLOTS_H

#include <stdint.h>

#define SLOTS 512

/* Makes slot `slot` at page `page` of the arena; at a slot that was used: as it was at first. */
void slot_make(unsigned int slot, unsigned long page);

uint64_t slot_address(unsigned int slot);

/* "rw WHOSE", "ro WHOSE", or "none": what can be done at the address, without dying of it. */
const char *slot_seen(unsigned int slot);

#endif
