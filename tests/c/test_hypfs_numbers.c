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

static int injected_errno;        /* if not 0, every multicall fails with it */
static unsigned int failing_call; /* if not 0, this call of a multicall fails with -EACCES */

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
    { "/gnttab/7/long", { .type = XEN_HYPFS_TYPE_STRING, .content_len = 500 }, 1 },
};

static long read_entry(const multicall_entry_t *call)
{
    const char *requested = (const char *)(uintptr_t)call->args[1];
    char *to = (char *)(uintptr_t)call->args[3];

    CHECK(call->op == __HYPERVISOR_hypfs_op && call->args[0] == XEN_HYPFS_OP_read);
    CHECK(call->args[2] == strlen(requested) + 1);
    for (size_t i = 0; i < sizeof(ENTRIES) / sizeof(ENTRIES[0]); i++) {
        if (strcmp(requested, ENTRIES[i].path))
            continue;
        memset(to, 0xa5, call->args[4]); /* Xen may use the whole buffer */
        memcpy(to, &ENTRIES[i].entry, sizeof(ENTRIES[i].entry));
        if (call->args[4] < sizeof(ENTRIES[i].entry) + ENTRIES[i].entry.content_len)
            return -ENOBUFS;
        if (ENTRIES[i].entry.content_len <= sizeof(ENTRIES[i].value))
            memcpy(to + sizeof(ENTRIES[i].entry), &ENTRIES[i].value, ENTRIES[i].entry.content_len);
        return 0;
    }
    return -ENOENT;
}

int xencall2(xencall_handle *call, unsigned int op, uint64_t calls, uint64_t count)
{
    multicall_entry_t *each = (multicall_entry_t *)(uintptr_t)calls;

    CHECK(!call && op == __HYPERVISOR_multicall);
    if (injected_errno) {
        errno = injected_errno;
        return -1;
    }
    for (unsigned int i = 0; i < count; i++)
        each[i].result = (xen_ulong_t)(i + 1 == failing_call ? -EACCES : read_entry(&each[i]));
    return 0;
}

static void test_numbers(void *page)
{
    static const char *const names[] = { "none", "wide", "odd", "half", "word", "zip", "long" };
    uint64_t values[7] = { 0 };

    CHECK(hypfs_numbers(NULL, page, "/gnttab/7", names, 7, values) == (1 << 1 | 1 << 3));
    CHECK(values[1] == 1ULL << 40);
    CHECK(values[3] == 1U << 31);
    CHECK(!values[0] && !values[2] && !values[4] && !values[5] && !values[6]);
    CHECK(hypfs_numbers(NULL, page, "/gnttab/8", names, 7, values) == 0);
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

static void test_failing_call(void *page)
{
    static const char *const names[] = { "wide", "half" };
    uint64_t values[2];

    for (failing_call = 1; failing_call <= 2; failing_call++) {
        errno = 0;
        CHECK(hypfs_numbers(NULL, page, "/gnttab/7", names, 2, values) == -1);
        CHECK(errno == EACCES);
    }
    failing_call = 0;
}

static void test_all_names(void *page)
{
    static const char *names[HYPFS_NUMBERS_MAX];
    uint64_t values[HYPFS_NUMBERS_MAX];

    for (unsigned int i = 0; i < HYPFS_NUMBERS_MAX; i++)
        names[i] = i + 1 < HYPFS_NUMBERS_MAX ? "half" : "wide";
    CHECK(hypfs_numbers(NULL, page, "/gnttab/7", names, HYPFS_NUMBERS_MAX, values) == INT32_MAX);
    CHECK(values[0] == 1U << 31 && values[HYPFS_NUMBERS_MAX - 1] == 1ULL << 40);
}

static void test_too_long(void *page)
{
    static char directory[XENLIB_PAGE_SIZE];
    static const char *const names[] = { "x", "x" };
    uint64_t values[2];
    size_t length;

    memset(directory, 'a', XENLIB_PAGE_SIZE - 1);
    for (length = XENLIB_PAGE_SIZE - 1; length; length--) {
        directory[length] = '\0';
        errno = 0;
        if (!hypfs_numbers(NULL, page, directory, names, 2, values))
            break;
        CHECK(errno == ENAMETOOLONG);
    }
    CHECK(length > 500); /* the longest directory of which two entries are read */
}

int main(void)
{
    void *page = aligned_alloc(XENLIB_PAGE_SIZE, XENLIB_PAGE_SIZE);

    alarm(100);
    test_numbers(page);
    test_failing_hypercall(page);
    test_failing_call(page);
    test_all_names(page);
    test_too_long(page);
    free(page);
    return 0;
}
