/*
 * libFuzzer target for the differential test.  An input is a byte with the setting, then steps.
 *
 * With TRACE in the environment, the text form of the input (see fuzz/inputs.py) is written to
 * stdout, with requests and statuses as comments.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../differential/differential.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    if ( getenv("TRACE") )
    {
        differ_trace = stdout;
        /* Line buffering, so that the last lines before an abort are written. */
        setvbuf(stdout, NULL, _IOLBF, 0);
    }
    return 0;
}

static void write_step(const struct step *s)
{
    if ( differ_trace )
        fprintf(differ_trace, "%s %u %u %u %u %u %u %u\n", differ_names[s->kind % NR_STEP_KINDS],
                s->actor, s->other, s->ref, s->flags, s->place, s->mapping, s->more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct setting setting;
    struct outcome outcome;

    if ( !size )
        return 0;
    setting = (struct setting){ data[0] & 1, data[0] >> 1 & 1, data[0] >> 2 & 1,
                                (data[0] >> 3) % 3 };
    if ( differ_trace )
        fprintf(differ_trace, "setting %u %u %u %u\n", setting.translated_mapper,
                setting.strict_iommu, setting.fast, setting.flush);

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
        fprintf(differ_trace ? differ_trace : stderr, "# %s\n", outcome.message);
        abort();
    }
    return 0;
}
