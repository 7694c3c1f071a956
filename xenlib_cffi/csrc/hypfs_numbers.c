#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/hypfs.h>

#include "hypfs_numbers.h"
#include "page.h"

/* Xen's answer to one call: a number is not longer. */
struct answer {
    struct xen_hypfs_direntry entry;
    char content[sizeof(uint64_t)];
};

/* Layout of the page. */
struct requests {
    multicall_entry_t calls[HYPFS_NUMBERS_MAX];
    struct answer answers[HYPFS_NUMBERS_MAX];
    char paths[XENLIB_PAGE_SIZE -
               HYPFS_NUMBERS_MAX * (sizeof(multicall_entry_t) + sizeof(struct answer))];
};

_Static_assert(sizeof(struct requests) <= XENLIB_PAGE_SIZE, "the buffer is one page");

/* Reads the number in an answer. Returns 1, or 0 if the entry is not an unsigned number. */
static int parse_number(const struct answer *answer, uint64_t *value)
{
    uint32_t half;

    if (answer->entry.type != XEN_HYPFS_TYPE_UINT || answer->entry.encoding != XEN_HYPFS_ENC_PLAIN)
        return 0;
    switch (answer->entry.content_len) {
    case sizeof(*value):
        memcpy(value, answer->content, sizeof(*value));
        return 1;
    case sizeof(half):
        memcpy(&half, answer->content, sizeof(half));
        *value = half;
        return 1;
    default:
        return 0;
    }
}

/* Fills in the calls. Returns 0, or -1 if the paths are too long for the page. */
static int prepare(struct requests *requests, const char *directory, const char *const names[],
                   unsigned int count)
{
    size_t length = strlen(directory);
    char *path = requests->paths, *end = path + sizeof(requests->paths);

    for (unsigned int i = 0; i < count; i++) {
        size_t name = strlen(names[i]), size = length + 1 + name + 1;

        if (size > (size_t)(end - path))
            return -1;
        memcpy(path, directory, length);
        path[length] = '/';
        memcpy(path + length + 1, names[i], name + 1);
        requests->calls[i] = (multicall_entry_t){
            .op = __HYPERVISOR_hypfs_op,
            .args = { XEN_HYPFS_OP_read, (uintptr_t)path, size, (uintptr_t)&requests->answers[i],
                      sizeof(requests->answers[i]) },
        };
        path += size;
    }
    return 0;
}

int hypfs_numbers(xencall_handle *call, void *page, const char *directory,
                  const char *const names[], unsigned int count, uint64_t values[])
{
    struct requests *requests = page;
    int found = 0;

    if (prepare(requests, directory, names, count)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (xencall2(call, __HYPERVISOR_multicall, (uintptr_t)requests->calls, count))
        return -1;
    for (unsigned int i = 0; i < count; i++) {
        long result = (long)requests->calls[i].result;

        if (!result) {
            found |= parse_number(&requests->answers[i], &values[i]) << i;
        } else if (result != -ENOENT && result != -ESRCH && result != -ENOBUFS) {
            errno = (int)-result;
            return -1;
        }
    }
    return found;
}
