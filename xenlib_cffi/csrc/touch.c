#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "page.h"
#include "touch.h"

#define CACHE_LINE 64

bool touch_open(struct worker *w, unsigned char **local)
{
    size_t bytes = w->loop->batch * XENLIB_PAGE_SIZE;

    if (w->loop->touch != TOUCH_COPY)
        return true;
    *local = aligned_alloc(XENLIB_PAGE_SIZE, bytes);
    if (!*local)
        return worker_fail(w, LOOP_ERRNO, "aligned_alloc", ENOMEM, w->targets);
    memset(*local, 0, bytes); /* page faults now, not in the timed section */
    return true;
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

void touch_pages(const struct loop *loop, unsigned char *pages, unsigned char *local)
{
    for (size_t i = 0; i < loop->batch * XENLIB_PAGE_SIZE; i += XENLIB_PAGE_SIZE)
        switch (loop->touch) {
        case TOUCH_NONE:
            break;
        case TOUCH_READ:
            read_lines(pages + i, loop->bytes);
            break;
        case TOUCH_WRITE:
            write_lines(pages + i, loop->bytes);
            break;
        case TOUCH_COPY:
            memcpy(local + i, pages + i, loop->bytes);
            break;
        }
}
