/* Generation of random steps from seeds. */
#include <stdlib.h>
#include <string.h>

#include "world.h"

static uint64_t next(uint64_t *state)
{
    /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

/* Mostly one domain maps and unmaps a few references of domain 2. */
void differ_steps(uint64_t seed, struct step *steps, size_t length)
{
    static const uint8_t usual[] = {
        GRANT, GRANT, GRANT, MAP,   MAP,    MAP,        MAP,  MAP,
        UNMAP, UNMAP, UNMAP, UNMAP, REVOKE, BAD_HANDLE, COPY, REPLACE,
    };
    const uint64_t world = next(&seed);
    const unsigned int mapper = world & 1, ref = world & 2 ? 2 : (world >> 8) % NR_REFS;
    const bool no_other_ref = !(world & 12);

    for ( size_t i = 0; i < length; i++ )
    {
        uint64_t bits = next(&seed), more = next(&seed);

        memcpy(&steps[i], &bits, sizeof(steps[i]));
        if ( more & 15 )
            steps[i].kind = usual[more >> 4 & 15];
        if ( no_other_ref || (more >> 8 & 3) )
            steps[i].ref = ref + (more >> 12) % 3;
        if ( more >> 16 & 3 )
        {
            steps[i].actor = (steps[i].actor & ~3) | mapper;
            steps[i].other = 2;
        }
        if ( more >> 20 & 1 )
            steps[i].more &= ~3;
        if ( more >> 24 & 3 )
            steps[i].place %= 224;
    }
    /* At times start with a version switch and end a mapper last, which is rare otherwise. */
    if ( length && (world & 48) == 0 )
    {
        steps[0] = (struct step){ .kind = VERSION, .other = 2, .flags = 1 };
        steps[length - 1] = (struct step){ .kind = DESTROY, .other = mapper };
    }
}

void differ_random(const struct setting *setting, uint64_t seed, size_t length, size_t count,
                   struct outcome *outcome, uint64_t *failing_seed)
{
    struct step *steps = malloc(length * sizeof(*steps));

    for ( size_t done = 0; done < count; done += length )
    {
        *failing_seed = seed + done / length;
        differ_steps(*failing_seed, steps, length);
        differ_run(setting, steps, length, outcome);
        if ( outcome->differs )
            break;
    }
    free(steps);
}
