/*
 * The contents of copied pages. Each begins and ends with the pattern of its reference. An engine
 * that copies also writes a number into the second word of a page, a mark, and expects it there at
 * the next copy from the page: so both directions are verified without further calls.
 */
#ifndef XENLIB_MARKS_H
#define XENLIB_MARKS_H

#include "loop.h"

/* The marks in the pages of a worker's targets. */
struct marks {
    uint64_t *last; /* the mark in the page of each target; 0: unknown */
    uint64_t next;
};

bool marks_open(struct worker *w, struct marks *marks);
void marks_close(struct marks *marks);

/* Makes the copies of an earlier batch invalid, so that a copy that does nothing is found. */
void marks_prepare(const struct worker *w, unsigned char *local);
/* Checks the copies of a batch's pages, and writes a new mark into each copy. */
bool marks_check_and_set(struct worker *w, struct marks *marks, unsigned char *local,
                         const struct target *batch, const char *call);
/* Notes that the copies of this batch have been copied back. */
void marks_written(struct worker *w, struct marks *marks, const unsigned char *local,
                   const struct target *batch);

#endif
