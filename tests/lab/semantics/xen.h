/* Handles of Xen's libraries, shared by all files of a program; err.h for fatal errors. */
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
 * Executes GNTTABOP `command` with `count` operations through a hypercall-safe buffer, and copies
 * their statuses back. Returns -1 with errno if Xen refuses the whole hypercall.
 */
int grant_op(unsigned int command, void *ops, size_t size, unsigned int count);

#endif
