#include "empty_engine.h"

bool empty_step(struct worker *w)
{
    (void)w;
    return true;
}

void empty_touch(struct worker *w)
{
    (void)w;
}

static void empty_prepare(struct worker *w, const struct target *batch)
{
    (void)w;
    (void)batch;
}

const struct engine empty_engine = {
    .open = empty_step,
    .close = empty_touch,
    .prepare = empty_prepare,
    .first = empty_step,
    .touch = empty_touch,
    .check_first = empty_step,
    .second = empty_step,
    .check_second = empty_step,
};
