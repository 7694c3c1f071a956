/* The libraries' handles, opened once, and the end of a program that cannot go on. */
#ifndef SEMANTICS_XEN_H
#define SEMANTICS_XEN_H

#include <err.h>
#include <stdint.h>

#include <xencall.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xen/grant_table.h>

#define PAGE 4096u

extern xc_interface *xch;
extern xencall_handle *call;
extern xenforeignmemory_handle *memory;

void open_libraries(void);

/*
 * GNTTABOP `command` for `count` operations; -1 with errno when Xen refuses the whole call. They
 * go through a hypercall-safe buffer, and come back with their statuses.
 */
int grant_op(unsigned int command, void *ops, size_t size, unsigned int count);

#endif
