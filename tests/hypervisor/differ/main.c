/*
 * Random steps on stock and patched, for longer than Python would have patience:
 *
 *     differ TRANSLATED IOMMU FAST SEED LENGTH STEPS
 *
 * The first three are 0 or 1, or for the IOMMU 2: the setting.  Worlds of LENGTH steps each, the first from SEED, until
 * there were STEPS.  On stdout, how often each kind of step had each answer; of a difference, the
 * seed and what was asked and answered up to it.  Exit codes: 0 none, 1 a difference, 2 usage.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "differ.h"

int main(int argc, char **argv)
{
    struct setting setting;
    struct outcome outcome;
    uint64_t seed;

    if ( argc != 7 )
        return 2;
    setting = (struct setting){ atoi(argv[1]), atoi(argv[2]), atoi(argv[3]) };
    differ_random(&setting, strtoull(argv[4], NULL, 0), strtoul(argv[5], NULL, 0),
                  strtoul(argv[6], NULL, 0), &outcome, &seed);
    if ( outcome.differs )
    {
        differ_trace = stdout;
        differ_random(&setting, seed, strtoul(argv[5], NULL, 0), 1, &outcome, &seed);
        printf("seed %" PRIu64 ", step %zu: %s\n", seed, outcome.done, outcome.what);
        return 1;
    }
    for ( unsigned int what = 0; what < NR_WHAT; what++ )
        for ( int status = 0; status < 32; status++ )
            if ( differ_tally(what, -status) )
                printf("%s %d %lu\n", differ_names[what], -status, differ_tally(what, -status));
    return 0;
}
