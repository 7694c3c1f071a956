#include "grant_ops.h"

static int grant_table_op(xencall_handle *call, unsigned int command, void *ops, unsigned int count)
{
    return xencall3(call, __HYPERVISOR_grant_table_op, command, (uint64_t)(uintptr_t)ops, count);
}

int grant_map(xencall_handle *call, gnttab_map_grant_ref_t *ops, unsigned int count)
{
    return grant_table_op(call, GNTTABOP_map_grant_ref, ops, count);
}

int grant_unmap(xencall_handle *call, gnttab_unmap_grant_ref_t *ops, unsigned int count)
{
    return grant_table_op(call, GNTTABOP_unmap_grant_ref, ops, count);
}

int grant_copy(xencall_handle *call, gnttab_copy_t *ops, unsigned int count)
{
    return grant_table_op(call, GNTTABOP_copy, ops, count);
}

int grant_sweep(xencall_handle *call, gnttab_unmap_grant_ref_t *ops, unsigned int room,
                uint64_t bus_addr, uint32_t first, uint32_t handles)
{
    while (handles) {
        unsigned int count = handles < room ? handles : room;

        for (unsigned int i = 0; i < count; i++)
            ops[i] = (gnttab_unmap_grant_ref_t){
                .dev_bus_addr = bus_addr,
                .handle = first + i,
            };
        if (grant_unmap(call, ops, count))
            return -1;
        first += count;
        handles -= count;
    }
    return 0;
}
