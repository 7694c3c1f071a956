/* Reads several unsigned entries of a hypfs directory with one buffer. */
#ifndef XENLIB_HYPFS_NUMBERS_H
#define XENLIB_HYPFS_NUMBERS_H

#include <stdint.h>

#include <xencall.h>

/* Entries per call: the result is a non-negative int with one bit for each. */
#define HYPFS_NUMBERS_MAX 31

/*
 * Reads the entries `names[0]` to `names[count - 1]` of a directory with XEN_HYPFS_OP_read, all in
 * one multicall. `page` is a hypercall-safe buffer of XENLIB_PAGE_SIZE bytes; xenhypfs_read()
 * instead maps and unmaps a buffer for each entry, which takes longer than the hypercall.
 *
 * Returns a bit mask: bit i is set if `values[i]` was read. Entries that do not exist or that are
 * not unsigned numbers have no bit. Returns -1 with errno set on any other error.
 */
int hypfs_numbers(xencall_handle *call, void *page, const char *directory,
                  const char *const names[], unsigned int count, uint64_t values[]);

#endif
