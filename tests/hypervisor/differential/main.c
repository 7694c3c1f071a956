/*
 * Random steps on stock and patched:
 *
 *     differential TRANSLATED IOMMU FAST FLUSH SEED LENGTH STEPS
 *
 * The first four are the fields of struct setting: 0 or 1, IOMMU and FLUSH also 2.  The program
 * runs worlds of LENGTH steps, the first from SEED, until STEPS steps were taken.  It prints how
 * often each kind of step had each status; after a difference, the requests and statuses up to it
 * and the seed. Exit codes: 0 no difference, 1 a difference, 2 usage error.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "differential.h"

int main(int argc, char **argv)
{
    struct setting setting;
    struct outcome outcome;
    uint64_t seed;

    if ( argc != 8 )
        return 2;
    setting = (struct setting){ atoi(argv[1]), atoi(argv[2]), atoi(argv[3]), atoi(argv[4]) };
    differ_random(&setting, strtoull(argv[5], NULL, 0), strtoul(argv[6], NULL, 0),
                  strtoul(argv[7], NULL, 0), &outcome, &seed);
    if ( outcome.differs )
    {
        differ_trace = stdout;
        differ_random(&setting, seed, strtoul(argv[6], NULL, 0), 1, &outcome, &seed);
        printf("seed %" PRIu64 ", step %zu: %s\n", seed, outcome.done, outcome.message);
        return 1;
    }
    for ( unsigned int kind = 0; kind < NR_STEP_KINDS; kind++ )
        for ( int status = 0; status < 32; status++ )
            if ( differ_tally(kind, -status) )
                printf("%s %d %lu\n", differ_names[kind], -status, differ_tally(kind, -status));
    return 0;
}
