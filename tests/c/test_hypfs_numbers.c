/*
 * Tests of hypfs_numbers() with a fake hypervisor, whose hypfs has one directory, /gnttab/7. Its
 * answers have the format of xen/hypfs.h.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/hypfs.h>

#include "check.h"
#include "hypfs_numbers.h"
#include "page.h"

static int injected_errno; /* if not 0, every hypercall fails with it */

static const struct {
    const char *path;
    struct xen_hypfs_direntry entry;
    uint64_t value;
} ENTRIES[] = {
    { "/gnttab/7/wide", { .type = XEN_HYPFS_TYPE_UINT, .content_len = 8 }, 1ULL << 40 },
    { "/gnttab/7/half", { .type = XEN_HYPFS_TYPE_UINT, .content_len = 4 }, 1U << 31 },
    { "/gnttab/7/odd", { .type = XEN_HYPFS_TYPE_UINT, .content_len = 3 }, 1 },
    { "/gnttab/7/word", { .type = XEN_HYPFS_TYPE_STRING, .content_len = 8 }, 1 },
    { "/gnttab/7/zip",
      { .type = XEN_HYPFS_TYPE_UINT, .encoding = XEN_HYPFS_ENC_GZIP, .content_len = 8 },
      1 },
};

int xencall5(xencall_handle *call, unsigned int op, uint64_t command, uint64_t path,
             uint64_t length, uint64_t answer, uint64_t size)
{
    const char *requested = (const char *)(uintptr_t)path;

    CHECK(!call && op == __HYPERVISOR_hypfs_op && command == XEN_HYPFS_OP_read);
    CHECK(length == strlen(requested) + 1);
    if (injected_errno) {
        errno = injected_errno;
        return -1;
    }
    for (size_t i = 0; i < sizeof(ENTRIES) / sizeof(ENTRIES[0]); i++) {
        char *to = (char *)(uintptr_t)answer;

        if (strcmp(requested, ENTRIES[i].path))
            continue;
        CHECK(size >= sizeof(ENTRIES[i].entry) + sizeof(ENTRIES[i].value));
        memset(to, 0xa5, size); /* Xen may use the whole buffer */
        memcpy(to, &ENTRIES[i].entry, sizeof(ENTRIES[i].entry));
        memcpy(to + sizeof(ENTRIES[i].entry), &ENTRIES[i].value, ENTRIES[i].entry.content_len);
        return 0;
    }
    errno = ENOENT;
    return -1;
}

static void test_numbers(void *page)
{
    static const char *const names[] = { "none", "wide", "odd", "half", "word", "zip" };
    uint64_t values[6] = { 0 };

    CHECK(hypfs_numbers(NULL, page, "/gnttab/7", names, 6, values) == (1 << 1 | 1 << 3));
    CHECK(values[1] == 1ULL << 40);
    CHECK(values[3] == 1U << 31);
    CHECK(!values[0] && !values[2] && !values[4] && !values[5]);
    CHECK(hypfs_numbers(NULL, page, "/gnttab/8", names, 6, values) == 0);
}

static void test_failing_hypercall(void *page)
{
    static const char *const names[] = { "wide" };
    uint64_t value;

    injected_errno = EACCES;
    errno = 0;
    CHECK(hypfs_numbers(NULL, page, "/gnttab/7", names, 1, &value) == -1);
    CHECK(errno == EACCES);
    injected_errno = 0;
}

static void test_too_long(void *page)
{
    static char directory[XENLIB_PAGE_SIZE];
    static const char *const names[] = { "x" };
    uint64_t value;

    /* With the slash and the name, there is no room for the final 0. */
    memset(directory, 'a', XENLIB_PAGE_SIZE / 2 - 2);
    CHECK(hypfs_numbers(NULL, page, directory, names, 1, &value) == -1);
    CHECK(errno == ENAMETOOLONG);
    directory[XENLIB_PAGE_SIZE / 2 - 3] = '\0';
    CHECK(hypfs_numbers(NULL, page, directory, names, 1, &value) == 0);
}

int main(void)
{
    void *page = aligned_alloc(XENLIB_PAGE_SIZE, XENLIB_PAGE_SIZE);

    alarm(100);
    test_numbers(page);
    test_failing_hypercall(page);
    test_too_long(page);
    free(page);
    return 0;
}
