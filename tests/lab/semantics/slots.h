/*
 * Slots: addresses in this process at which grants can be mapped.
 *
 * When a PV domain maps a grant, Xen replaces a page table entry of the domain. Linux does not
 * track the pages of a foreign mapping, so every slot initially contains one.
 */
#ifndef SEMANTICS_SLOTS_H
#define SEMANTICS_SLOTS_H

#include <stdint.h>

#define SLOTS 512

/* Creates slot `slot` at page `page` of the arena, or resets it to its initial state. */
void slot_make(unsigned int slot, unsigned long page);

uint64_t slot_address(unsigned int slot);

/* Returns the possible access at a slot and its page: "rw NAME.PAGE", "ro NAME.PAGE", or "none". */
const char *slot_access(unsigned int slot);

#endif
