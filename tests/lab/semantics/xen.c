#include <stdlib.h>
#include <string.h>

#include "xen.h"

#define BUFFER_PAGES 16

xc_interface *xch;
xencall_handle *call;
xenforeignmemory_handle *memory;

void open_libraries(void)
{
    xch = xc_interface_open(NULL, NULL, 0);
    call = xencall_open(NULL, 0);
    memory = xenforeignmemory_open(NULL, 0);
    if (!xch || !call || !memory)
        err(2, "cannot open Xen's libraries: run this program as root in dom0");
}

int grant_op(unsigned int command, void *ops, size_t size, unsigned int count)
{
    static __thread void *buffer;
    int result;

    if (!buffer && !(buffer = xencall_alloc_buffer_pages(call, BUFFER_PAGES)))
        err(3, "cannot allocate a hypercall buffer");
    if (count * size > BUFFER_PAGES * PAGE)
        errx(2, "%u operations do not fit into one hypercall", count);
    memcpy(buffer, ops, count * size);
    result = xencall3(call, __HYPERVISOR_grant_table_op, command, (uintptr_t)buffer, count);
    memcpy(ops, buffer, count * size);
    return result;
}
