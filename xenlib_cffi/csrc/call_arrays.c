#include <errno.h>

#include "call_arrays.h"
#include "last_message.h"
#include "page.h"

static size_t pages_for(size_t bytes)
{
    return (bytes + XENLIB_PAGE_SIZE - 1) / XENLIB_PAGE_SIZE;
}

bool call_arrays_open(struct worker *w, struct call_arrays *arrays, size_t first, size_t second)
{
    size_t first_pages = pages_for(w->loop->batch * first);
    char *buffer;

    /* One handle per worker: threads contend for the reference count of a shared file. */
    arrays->call = xencall_open(last_message_logger(), 0);
    if (!arrays->call)
        return worker_fail(w, LOOP_ERRNO, "xencall_open", errno, w->targets);
    arrays->pages = first_pages + pages_for(w->loop->batch * second);
    buffer = xencall_alloc_buffer_pages(arrays->call, arrays->pages);
    if (!buffer)
        return worker_fail(w, LOOP_ERRNO, "xencall_alloc_buffer_pages", errno, w->targets);
    arrays->first = buffer;
    arrays->second = buffer + first_pages * XENLIB_PAGE_SIZE;
    return true;
}

void call_arrays_close(struct call_arrays *arrays)
{
    if (arrays->first)
        xencall_free_buffer_pages(arrays->call, arrays->first, arrays->pages);
    if (arrays->call)
        xencall_close(arrays->call);
}
