/*
 * Threads map and unmap the same few references, while others unmap guessed handles.
 *
 * usage: race MAPPERS GUESSERS ROUNDS
 * A guesser unmaps the handles that fast mappings of these references would have, with the correct
 * bus address. When it unmaps a mapping of another thread, Xen refuses that thread's own unmap. In
 * any case each mapping must be unmapped exactly once.
 * prints: mapped N, unmapped N by their makers, and N by guess, remaining N
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "granter.h"

#define GREFS 4
#define FIRST 8
#define FAST (1u << 31)
#define THREADS 16

static struct granter *granter;
static unsigned long rounds;
static atomic_ulong mapped, unmapped, guessed;
static atomic_bool over;

static int16_t unmap(uint32_t handle, uint64_t bus_addr)
{
    gnttab_unmap_grant_ref_t op = { .handle = handle, .dev_bus_addr = bus_addr, .status = 1 };

    if (grant_op(GNTTABOP_unmap_grant_ref, &op, sizeof(op), 1))
        err(3, "GNTTABOP_unmap_grant_ref");
    return op.status;
}

static void *mapper(void *number)
{
    for (unsigned long i = (uintptr_t)number; i < rounds; i++) {
        gnttab_map_grant_ref_t op = {
            .flags = GNTMAP_device_map,
            .ref = FIRST + (uint32_t)(i % GREFS),
            .dom = (domid_t)granter->domid,
        };

        if (grant_op(GNTTABOP_map_grant_ref, &op, sizeof(op), 1))
            err(3, "GNTTABOP_map_grant_ref");
        if (op.status != GNTST_okay)
            errx(3, "map: status %d", op.status);
        mapped++;
        unmapped += unmap(op.handle, op.dev_bus_addr) == GNTST_okay;
    }
    return NULL;
}

static void *guesser(void *number)
{
    for (unsigned long i = (uintptr_t)number; !over; i++) {
        uint32_t gref = FIRST + (uint32_t)(i % GREFS);

        guessed += unmap(FAST | granter->domid << 16 | gref,
                         (uint64_t)granter->mfns[i % GREFS] * PAGE) == GNTST_okay;
    }
    return NULL;
}

static void start(pthread_t *thread, void *(*function)(void *), unsigned int number)
{
    if (pthread_create(thread, NULL, function, (void *)(uintptr_t)number))
        err(3, "cannot create a thread");
}

int main(int argc, char **argv)
{
    unsigned int mappers, guessers, remaining = 0;
    pthread_t threads[THREADS];

    if (argc != 4 ||
        (mappers = (unsigned int)atoi(argv[1])) + (guessers = (unsigned int)atoi(argv[2])) >
            THREADS)
        errx(2, "usage: race MAPPERS GUESSERS ROUNDS");
    rounds = strtoul(argv[3], NULL, 0);
    open_libraries();
    granter = granter_make("race", 1, GREFS);
    for (unsigned int i = 0; i < GREFS; i++)
        granter_permit(granter, FIRST + i, i, false, 0);
    for (unsigned int i = 0; i < mappers; i++)
        start(&threads[i], mapper, i);
    for (unsigned int i = 0; i < guessers; i++)
        start(&threads[mappers + i], guesser, i);
    for (unsigned int i = 0; i < mappers; i++)
        pthread_join(threads[i], NULL);
    over = true;
    for (unsigned int i = 0; i < guessers; i++)
        pthread_join(threads[mappers + i], NULL);
    for (unsigned int i = 0; i < GREFS; i++)
        remaining += !!(granter_flags(granter, FIRST + i) & (GTF_reading | GTF_writing));
    printf("mapped %lu, unmapped %lu by their makers, and %lu by guess, remaining %u\n", mapped,
           unmapped, guessed, remaining);
    granter_destroy(granter);
    if (remaining || mapped != unmapped + guessed || strcmp(granter_state(granter, 5), "gone"))
        return 3;
    return 0;
}
