/*
 * Executes a script of grant operations from standard input, one per line, and prints a transcript.
 * The transcript contains no handles, domids or frames, so that two hypervisors can be compared by
 * it; the part of a line after '#' may differ.
 *
 *   granter NAME FRAMES PAGES        create a granter
 *   grant NAME GREF PAGE rw|ro [DOMID]
 *   slot N PAGE                      create host address N, or reset it to its initial state
 *   map M NAME GREF FLAGS N|-        FLAGS of d(evice) h(ost) r(eadonly) a(pplication) 0 1 2 (avail)
 *   unmap M HOST DEV                 HOST: own, -, or a slot; DEV: own, -, or wrong
 *   handle HEX HOST DEV              unmap a handle given as a number
 *   batch / commit                   use one hypercall for the unmaps between these lines
 *   replace M N                      GNTTABOP_unmap_and_replace with the page at slot N
 *   copy NAME GREF NAME GREF LENGTH  GNTTABOP_copy
 *   flush M                          GNTTABOP_cache_flush of the page of M
 *   seen N                           print the possible access at slot N
 *   flags NAME GREF                  print the flags of a grant entry
 *   pins                             print the active entries of all granters
 *   destroy NAME
 *   state NAME SECONDS               wait for the end of the domain; prints gone, dying or alive
 *   repeat M NAME GREF COUNT FLAGS   map COUNT times as M; prints the last status other than okay
 *   end M                            unmap all mappings named M; prints how many Xen refused
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mappings.h"
#include "pins.h"
#include "slots.h"

#define WORDS 8
#define BATCH 64
#define FAST (1u << 31)

static struct unmapping queue[BATCH];
static char queued_as[BATCH][64];
static int queued = -1;

static uint32_t map_flags(const char *letters)
{
    static const struct {
        char letter;
        uint32_t flag;
    } known[] = {
        { 'd', GNTMAP_device_map },
        { 'h', GNTMAP_host_map },
        { 'r', GNTMAP_readonly },
        { 'a', GNTMAP_application_map },
        { '0', 1u << _GNTMAP_guest_avail0 },
        { '1', 2u << _GNTMAP_guest_avail0 },
        { '2', 4u << _GNTMAP_guest_avail0 },
        { '-', 0 },
    };
    uint32_t flags = 0;

    for (; *letters; letters++) {
        unsigned int i = 0;

        while (i < sizeof(known) / sizeof(known[0]) && known[i].letter != *letters)
            i++;
        if (i == sizeof(known) / sizeof(known[0]))
            errx(2, "unknown mapping flag %c", *letters);
        flags |= known[i].flag;
    }
    return flags;
}

static uint64_t host_of(const char *word, const struct mapping *mapping)
{
    if (!strcmp(word, "-"))
        return 0;
    if (strcmp(word, "own"))
        return slot_address((unsigned int)atoi(word));
    return mapping && mapping->slot != NO_SLOT ? slot_address((unsigned int)mapping->slot) : 0;
}

static uint64_t dev_of(const char *word, const struct mapping *mapping)
{
    uint64_t own = mapping ? mapping->bus_addr : (uint64_t)PAGE;

    return !strcmp(word, "-") ? 0 : !strcmp(word, "wrong") ? own + PAGE : own;
}

static void run_queue(void)
{
    int statuses[BATCH];

    mappings_end(queue, (unsigned int)queued, statuses);
    for (int i = 0; i < queued; i++) {
        const struct mapping *mapping = queue[i].mapping;

        printf("%s = %d", queued_as[i], statuses[i]);
        if (mapping)
            printf(" flags %x", granter_flags(mapping->granter, mapping->gref));
        putchar('\n');
    }
    queued = -1;
}

static void unmap(struct mapping *mapping, uint32_t handle, char **word, const char *line)
{
    bool alone = queued < 0;

    if (alone)
        queued = 0;
    else if (queued == BATCH)
        errx(2, "more than %d operations in a batch", BATCH);
    snprintf(queued_as[queued], sizeof(queued_as[0]), "%s", line);
    queue[queued++] = (struct unmapping){
        .mapping = mapping,
        .handle = handle,
        .host_addr = host_of(word[2], mapping),
        .dev_bus_addr = dev_of(word[3], mapping),
    };
    if (alone)
        run_queue();
}

static void map(char **word, const char *line)
{
    struct granter *granter = granter_named(word[2]);
    uint32_t gref = (uint32_t)strtoul(word[3], NULL, 0);
    int slot = strcmp(word[5], "-") ? atoi(word[5]) : NO_SLOT;
    struct mapping *made;
    int status = mapping_make(word[1], granter, gref, map_flags(word[4]), slot, &made);

    printf("%s = %d flags %x", line, status, granter_flags(granter, gref));
    if (made)
        printf(" # %s %08x", made->handle & FAST ? "fast" : "slow", made->handle);
    putchar('\n');
}

static void repeat(char **word, const char *line)
{
    struct granter *granter = granter_named(word[2]);
    unsigned int count = (unsigned int)atoi(word[4]), okay = 0, fast = 0;
    uint32_t gref = (uint32_t)strtoul(word[3], NULL, 0);
    int last = GNTST_okay;

    for (unsigned int i = 0; i < count; i++) {
        struct mapping *made;
        int status = mapping_make(word[1], granter, gref, map_flags(word[5]), NO_SLOT, &made);

        if (!made) {
            last = status;
            continue;
        }
        okay++;
        fast += made->handle >> 31;
    }
    printf("%s = %d flags %x # okay %u fast %u\n", line, last, granter_flags(granter, gref), okay,
           fast);
}

static void copy(char **word, const char *line)
{
    const struct granter *from = granter_named(word[1]), *to = granter_named(word[3]);
    gnttab_copy_t op = {
        .source = { .u.ref = (uint32_t)atoi(word[2]), .domid = (domid_t)from->domid },
        .dest = { .u.ref = (uint32_t)atoi(word[4]), .domid = (domid_t)to->domid },
        .len = (uint16_t)atoi(word[5]),
        .flags = GNTCOPY_source_gref | GNTCOPY_dest_gref,
    };

    if (grant_op(GNTTABOP_copy, &op, sizeof(op), 1))
        err(3, "GNTTABOP_copy");
    printf("%s = %d flags %x %x\n", line, op.status, granter_flags(from, op.source.u.ref),
           granter_flags(to, op.dest.u.ref));
}

static void flush(const struct mapping *mapping, const char *line)
{
    gnttab_cache_flush_t op = {
        .a.dev_bus_addr = mapping->bus_addr,
        .length = PAGE,
        .op = GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_INVAL,
    };

    errno = 0;
    printf("%s = %d errno %d\n", line, grant_op(GNTTABOP_cache_flush, &op, sizeof(op), 1), errno);
}

static bool is_command(char **word, int words, const char *name, int arguments)
{
    if (strcmp(word[0], name))
        return false;
    if (words < arguments + 1)
        errx(2, "command %s takes %d arguments", name, arguments);
    return true;
}

static void run(char **word, int words, const char *line)
{
    if (is_command(word, words, "granter", 3))
        granter_make(word[1], (unsigned int)atoi(word[2]), (unsigned int)atoi(word[3]));
    else if (is_command(word, words, "grant", 4))
        granter_permit(granter_named(word[1]), (uint32_t)strtoul(word[2], NULL, 0),
                       (unsigned int)atoi(word[3]), !strcmp(word[4], "ro"),
                       words > 5 ? (domid_t)atoi(word[5]) : 0);
    else if (is_command(word, words, "slot", 2))
        slot_make((unsigned int)atoi(word[1]), strtoul(word[2], NULL, 0));
    else if (is_command(word, words, "map", 5))
        map(word, line);
    else if (is_command(word, words, "repeat", 5))
        repeat(word, line);
    else if (is_command(word, words, "end", 1))
        printf("%s = %u\n", line, mappings_end_all(word[1]));
    else if (is_command(word, words, "unmap", 3))
        unmap(mapping_named(word[1]), mapping_named(word[1])->handle, word, line);
    else if (is_command(word, words, "handle", 3))
        unmap(NULL, (uint32_t)strtoul(word[1], NULL, 16), word, line);
    else if (is_command(word, words, "batch", 0))
        queued = 0;
    else if (is_command(word, words, "commit", 0))
        run_queue();
    else if (is_command(word, words, "replace", 2))
        printf("%s = %d\n", line,
               mapping_replace(mapping_named(word[1]), (unsigned int)atoi(word[2])));
    else if (is_command(word, words, "copy", 5))
        copy(word, line);
    else if (is_command(word, words, "flush", 1))
        flush(mapping_named(word[1]), line);
    else if (is_command(word, words, "seen", 1))
        printf("%s = %s\n", line, slot_access((unsigned int)atoi(word[1])));
    else if (is_command(word, words, "flags", 2))
        printf("%s = %x\n", line,
               granter_flags(granter_named(word[1]), (uint32_t)strtoul(word[2], NULL, 0)));
    else if (is_command(word, words, "pins", 0))
        puts(line), pins_print();
    else if (is_command(word, words, "destroy", 1))
        granter_destroy(granter_named(word[1]));
    else if (is_command(word, words, "state", 2))
        printf("%s = %s\n", line, granter_state(granter_named(word[1]), atof(word[2])));
    else
        errx(2, "unknown command %s", word[0]);
}

/* Runs at exit, because domains whose pages are mapped would outlive the program. */
static void clean_up(void)
{
    struct granter *granter;

    mappings_end_all(NULL);
    for (unsigned int i = 0; (granter = granter_at(i)); i++)
        granter_destroy(granter);
}

int main(void)
{
    char line[256], copied[256];

    open_libraries();
    atexit(clean_up);
    while (fgets(line, sizeof(line), stdin)) {
        char *word[WORDS];
        int words = 0;

        line[strcspn(line, "\n")] = 0;
        strcpy(copied, line);
        for (char *next = strtok(copied, " "); next && words < WORDS; next = strtok(NULL, " "))
            word[words++] = next;
        if (words)
            run(word, words, line);
    }
    return 0;
}
