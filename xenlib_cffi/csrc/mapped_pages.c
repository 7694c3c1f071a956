#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mapped_pages.h"
#include "page.h"

#define CACHE_LINE 64

bool mapped_pages_open(struct worker *w, struct mapped_pages *mapped)
{
    size_t bytes = w->loop->batch * XENLIB_PAGE_SIZE;

    if (w->loop->touch != TOUCH_COPY)
        return true;
    mapped->local = aligned_alloc(XENLIB_PAGE_SIZE, bytes);
    if (!mapped->local)
        return worker_fail(w, LOOP_ERRNO, "aligned_alloc", ENOMEM, w->targets);
    memset(mapped->local, 0, bytes); /* page faults now, not in the timed section */
    return true;
}

void mapped_pages_close(struct mapped_pages *mapped)
{
    free(mapped->local);
}

static void read_lines(const unsigned char *page, size_t bytes)
{
    for (size_t line = 0; line < bytes; line += CACHE_LINE)
        (void)*(const volatile uint64_t *)(const void *)(page + line);
}

/* The second word of each line: the first and the last word of the page are its pattern. */
static void write_lines(unsigned char *page, size_t bytes)
{
    for (size_t line = 0; line < bytes; line += CACHE_LINE)
        *(volatile uint64_t *)(void *)(page + line + sizeof(uint64_t)) = line;
}

void mapped_pages_touch(const struct worker *w, const struct mapped_pages *mapped)
{
    const struct loop *loop = w->loop;

    for (size_t i = 0; i < loop->batch * XENLIB_PAGE_SIZE; i += XENLIB_PAGE_SIZE)
        switch (loop->touch) {
        case TOUCH_NONE:
            break;
        case TOUCH_READ:
            read_lines(mapped->pages + i, loop->bytes);
            break;
        case TOUCH_WRITE:
            write_lines(mapped->pages + i, loop->bytes);
            break;
        case TOUCH_COPY:
            memcpy(mapped->local + i, mapped->pages + i, loop->bytes);
            break;
        }
}

bool mapped_pages_check(struct worker *w, const struct mapped_pages *mapped, const char *call)
{
    for (size_t i = 0; mapped->pages && i < w->loop->batch; i++) {
        const volatile uint64_t *page = (const void *)(mapped->pages + i * XENLIB_PAGE_SIZE);
        uint64_t pattern = mapped->batch[i].pattern;

        if (page[0] != pattern || page[XENLIB_PAGE_SIZE / sizeof(*page) - 1] != pattern)
            return worker_fail(w, LOOP_CONTENTS, call, 0, &mapped->batch[i]);
    }
    return mapped->pages;
}
