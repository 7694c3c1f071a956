/* A handle of libxencall, and hypercall-safe arrays of the operations of an engine's two calls. */
#ifndef XENLIB_CALL_ARRAYS_H
#define XENLIB_CALL_ARRAYS_H

#include "grant_ops.h"
#include "loop.h"

struct call_arrays {
    xencall_handle *call;
    void *first, *second;
    size_t pages;
};

/* Arrays of loop->batch operations with these sizes in bytes; false after worker_fail(). */
bool call_arrays_open(struct worker *w, struct call_arrays *arrays, size_t first, size_t second);
/* Also after call_arrays_open() has failed, if `arrays` was zeroed before. */
void call_arrays_close(struct call_arrays *arrays);

#endif
