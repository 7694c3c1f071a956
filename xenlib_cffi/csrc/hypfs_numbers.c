#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/hypfs.h>

#include "hypfs_numbers.h"
#include "page.h"

/* Layout of the page: the first half holds the path, the second half Xen's answer. */
#define ANSWER (XENLIB_PAGE_SIZE / 2)

/* Reads the number in an answer. Returns 1, or 0 if the entry is not an unsigned number. */
static int parse_number(const char *answer, uint64_t *value)
{
    struct xen_hypfs_direntry entry;
    uint32_t half;

    memcpy(&entry, answer, sizeof(entry));
    answer += sizeof(entry);
    if (entry.type != XEN_HYPFS_TYPE_UINT || entry.encoding != XEN_HYPFS_ENC_PLAIN)
        return 0;
    switch (entry.content_len) {
    case sizeof(*value):
        memcpy(value, answer, sizeof(*value));
        return 1;
    case sizeof(half):
        memcpy(&half, answer, sizeof(half));
        *value = half;
        return 1;
    default:
        return 0;
    }
}

int hypfs_numbers(xencall_handle *call, void *page, const char *directory,
                  const char *const names[], unsigned int count, uint64_t values[])
{
    char *path = page, *answer = path + ANSWER;
    size_t length = strlen(directory);
    int found = 0;

    if (length + 1 >= ANSWER) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(path, directory, length);
    path[length++] = '/';
    for (unsigned int i = 0; i < count; i++) {
        size_t size = strlen(names[i]) + 1;

        if (length + size > ANSWER) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(path + length, names[i], size);
        if (xencall5(call, __HYPERVISOR_hypfs_op, XEN_HYPFS_OP_read, (uintptr_t)path, length + size,
                     (uintptr_t)answer, XENLIB_PAGE_SIZE - ANSWER)) {
            if (errno != ENOENT && errno != ESRCH && errno != ENOBUFS)
                return -1;
        } else {
            found |= parse_number(answer, &values[i]) << i;
        }
    }
    return found;
}
