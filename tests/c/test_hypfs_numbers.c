/*
 * hypfs_numbers() against a hypervisor of one directory, /gnttab/7: which entries are there, of
 * which type and size, is Xen's common/hypfs.c's to say; what it says of them is public/hypfs.h.
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

#define PAGE 4096

static int refused; /* with this errno, whatever is asked for */

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
             uint64_t length, uint64_t answer, uint64_t room)
{
    const char *asked = (const char *)(uintptr_t)path;

    CHECK(!call && op == __HYPERVISOR_hypfs_op && command == XEN_HYPFS_OP_read);
    CHECK(length == strlen(asked) + 1);
    if (refused) {
        errno = refused;
        return -1;
    }
    for (size_t i = 0; i < sizeof(ENTRIES) / sizeof(ENTRIES[0]); i++) {
        char *to = (char *)(uintptr_t)answer;

        if (strcmp(asked, ENTRIES[i].path))
            continue;
        CHECK(room >= sizeof(ENTRIES[i].entry) + sizeof(ENTRIES[i].value));
        memset(to, 0xa5, room); /* it may use all of it */
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

static void test_refused(void *page)
{
    static const char *const names[] = { "wide" };
    uint64_t value;

    refused = EACCES;
    errno = 0;
    CHECK(hypfs_numbers(NULL, page, "/gnttab/7", names, 1, &value) == -1);
    CHECK(errno == EACCES);
    refused = 0;
}

static void test_too_long(void *page)
{
    static char directory[PAGE];
    static const char *const names[] = { "x" };
    uint64_t value;

    memset(directory, 'a', PAGE / 2 - 2); /* with the slash and the name, no room for the end */
    CHECK(hypfs_numbers(NULL, page, directory, names, 1, &value) == -1);
    CHECK(errno == ENAMETOOLONG);
    directory[PAGE / 2 - 3] = '\0';
    CHECK(hypfs_numbers(NULL, page, directory, names, 1, &value) == 0);
}

int main(void)
{
    void *page = aligned_alloc(PAGE, PAGE);

    alarm(100);
    test_numbers(page);
    test_refused(page);
    test_too_long(page);
    free(page);
    return 0;
}
