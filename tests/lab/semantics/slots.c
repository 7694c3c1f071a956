#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "granter.h"
#include "slots.h"

#define ARENA (1ul << 30)

static char *arena;
static uint64_t addresses[SLOTS];
static int file;
static struct granter *parked;

static void make_arena(void)
{
    char *area = mmap(NULL, 2 * ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                      0);

    if (area == MAP_FAILED || (file = memfd_create("slot_access", 0)) < 0 || ftruncate(file, PAGE))
        err(3, "cannot reserve address space for host mappings");
    arena = (char *)(((uintptr_t)area + ARENA - 1) & ~(ARENA - 1));
    parked = granter_make("parked", 1, 1);
}

void slot_make(unsigned int slot, unsigned long page)
{
    char *address;

    if (!arena)
        make_arena();
    if (slot >= SLOTS || page >= ARENA / PAGE)
        errx(2, "slot %u or page %lu of the arena is out of range", slot, page);
    address = arena + page * PAGE;
    munmap(address, PAGE);
    /*
     * Read-only for Linux, so that a write to a page that Xen mapped read-only fails with an error
     * instead of faulting forever.
     */
    if (xenforeignmemory_map2(memory, parked->domid, address, PROT_READ, MAP_FIXED, 1, parked->mfns,
                              NULL) != address)
        err(3, "cannot create slot %u at %p", slot, (void *)address);
    addresses[slot] = (uintptr_t)address;
}

uint64_t slot_address(unsigned int slot)
{
    if (slot >= SLOTS || !addresses[slot])
        errx(2, "unknown slot %u", slot);
    return addresses[slot];
}

const char *slot_access(unsigned int slot)
{
    static char text[64];
    void *address = (void *)(uintptr_t)slot_address(slot);
    uint64_t stamp;

    if (pwrite(file, address, sizeof(stamp), 0) != sizeof(stamp))
        return "none";
    if (pread(file, &stamp, sizeof(stamp), 0) != sizeof(stamp))
        err(3, "cannot read back the stamp");
    /* Writes back the same content: succeeds only if Xen mapped the page writable. */
    snprintf(text, sizeof(text), "%s %s",
             pread(file, address, sizeof(stamp), 0) == sizeof(stamp) ? "rw" : "ro",
             granter_of_stamp(stamp));
    return text;
}
