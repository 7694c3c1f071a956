#include <errno.h>
#include <stdlib.h>

#include "marks.h"
#include "page.h"

#define LAST_WORD (XENLIB_PAGE_SIZE / sizeof(uint64_t) - 1)
#define MARK 1 /* index of the word that holds a mark */

bool marks_open(struct worker *w, struct marks *marks)
{
    marks->last = calloc(w->n_targets, sizeof(*marks->last));
    marks->next = 1;
    return marks->last || worker_fail(w, LOOP_ERRNO, "calloc", ENOMEM, w->targets);
}

void marks_close(struct marks *marks)
{
    free(marks->last);
}

void marks_prepare(const struct worker *w, unsigned char *local)
{
    for (size_t i = 0; i < w->loop->batch; i++)
        *(uint64_t *)(void *)(local + i * XENLIB_PAGE_SIZE) = 0;
}

bool marks_check_and_set(struct worker *w, struct marks *marks, unsigned char *local,
                         const struct target *batch, const char *call)
{
    const uint64_t *last = marks->last + (batch - w->targets);

    for (size_t i = 0; i < w->loop->batch; i++) {
        uint64_t *page = (void *)(local + i * XENLIB_PAGE_SIZE);

        if (page[0] != batch[i].pattern || (last[i] && page[MARK] != last[i]) ||
            (w->loop->bytes == XENLIB_PAGE_SIZE && page[LAST_WORD] != batch[i].pattern))
            return worker_fail(w, LOOP_CONTENTS, call, 0, &batch[i]);
        page[MARK] = marks->next++;
    }
    return true;
}

void marks_written(struct worker *w, struct marks *marks, const unsigned char *local,
                   const struct target *batch)
{
    uint64_t *last = marks->last + (batch - w->targets);

    for (size_t i = 0; i < w->loop->batch; i++)
        last[i] = ((const uint64_t *)(const void *)(local + i * XENLIB_PAGE_SIZE))[MARK];
}
