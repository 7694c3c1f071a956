/*
 * What users of a mapping do with its pages: reading, writing and copying them.
 *
 * Without it, a comparison of mapping and copying ignores that the CPU fetches the page after a
 * mapping, but has it in its caches after a copy.
 */
#ifndef XENLIB_TOUCH_H
#define XENLIB_TOUCH_H

#include "loop.h"

/* Allocates the pages that TOUCH_COPY copies to; false after worker_fail(). */
bool touch_open(struct worker *w, unsigned char **local);

/*
 * Touches the first loop->bytes of each of the worker's `loop->batch` pages. TOUCH_READ and
 * TOUCH_WRITE access one word of each cache line, and keep the pattern of the page; TOUCH_COPY
 * copies the bytes to `local`.
 */
void touch_pages(const struct loop *loop, unsigned char *pages, unsigned char *local);

#endif
