/*
 * The pages of a batch that an engine has mapped into this process: their contents, and what users
 * of a mapping do with them.
 *
 * Without touches, a comparison of mapping and copying ignores that the CPU fetches the page after a
 * mapping, but has it in its caches after a copy.
 */
#ifndef XENLIB_MAPPED_PAGES_H
#define XENLIB_MAPPED_PAGES_H

#include "loop.h"

struct mapped_pages {
    unsigned char *pages; /* NULL: the map has failed */
    unsigned char *local; /* what TOUCH_COPY copies to */
    const struct target *batch;
};

/* Allocates what TOUCH_COPY copies to; false after worker_fail(). */
bool mapped_pages_open(struct worker *w, struct mapped_pages *mapped);
/* Frees that; the pages are unmapped by the engine. */
void mapped_pages_close(struct mapped_pages *mapped);

/*
 * Touches the first loop->bytes of each page. TOUCH_READ and TOUCH_WRITE access one word of each
 * cache line, and keep the pattern of the page; TOUCH_COPY copies the bytes.
 */
void mapped_pages_touch(const struct worker *w, const struct mapped_pages *mapped);

/* Checks the patterns of the pages; `call` is the function that mapped them. */
bool mapped_pages_check(struct worker *w, const struct mapped_pages *mapped, const char *call);

#endif
