/*
 * The differential as a target for libFuzzer: a byte that says which machines there are, then steps.
 *
 * With TRACE in the environment, what an input means is written to stdout, as fuzz/inputs.py reads it,
 * with what was asked and answered as comments.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../differ/differ.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    if ( getenv("TRACE") )
    {
        differ_trace = stdout;
        /* What is written last may be what explains an abort. */
        setvbuf(stdout, NULL, _IOLBF, 0);
    }
    return 0;
}

static void write_step(const struct step *s)
{
    if ( differ_trace )
        fprintf(differ_trace, "%s %u %u %u %u %u %u %u\n", differ_names[s->what % NR_WHAT],
                s->actor, s->other, s->ref, s->flags, s->place, s->mapping, s->more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct setting setting;
    struct outcome outcome;

    if ( !size )
        return 0;
    setting = (struct setting){ data[0] & 1, data[0] >> 1 & 1, data[0] >> 2 & 1 };
    if ( differ_trace )
        fprintf(differ_trace, "setting %u %u %u\n", setting.translated_mapper, setting.strict_iommu,
                setting.fast);

    differ_begin(&setting, &outcome);
    for ( size_t at = 1; at + sizeof(struct step) <= size; at += sizeof(struct step) )
    {
        write_step((const struct step *)(data + at));
        differ_take((const struct step *)(data + at));
        if ( outcome.differs )
            break;
    }
    differ_end();
    if ( outcome.differs )
    {
        fprintf(differ_trace ? differ_trace : stderr, "# %s\n", outcome.what);
        abort();
    }
    return 0;
}
