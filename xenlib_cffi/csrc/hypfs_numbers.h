/* Unsigned entries of the hypervisor's file system, many over one buffer. */
#ifndef XENLIB_HYPFS_NUMBERS_H
#define XENLIB_HYPFS_NUMBERS_H

#include <stdint.h>

#include <xencall.h>

#define HYPFS_NUMBERS_MAX 31

/*
 * Reads `names[0]` to `names[count - 1]`, HYPFS_NUMBERS_MAX at most, of a
 * directory. `page` is a hypercall-safe buffer of one page: xenhypfs_read()
 * maps one for each entry and unmaps it again, which is most of what it costs.
 *
 * Returns a bit for each value that was read, the lowest for the first; an
 * entry that is not there, or is no unsigned number, has none. -1 with errno
 * when Xen refuses for another reason.
 */
int hypfs_numbers(xencall_handle *call, void *page, const char *directory,
                  const char *const names[], unsigned int count, uint64_t values[]);

#endif
