/* Xen's hints and assertions, for the programs whose Xen files are compiled without the harness. */
/* Not reformatted: most of it is one-line macros. */
/* clang-format off */
#ifndef ASSERTIONS_H
#define ASSERTIONS_H

#include <stdio.h>
#include <stdlib.h>

#define cf_check
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

static __attribute__((noreturn, cold)) void fail(const char *what, int line)
{
    fprintf(stderr, "%d: %s\n", line, what);
    abort();
}
#define BUG() fail("BUG", __LINE__)
#define BUG_ON(p) do { if ( p ) fail(#p, __LINE__); } while (0)
#define ASSERT(p) BUG_ON(!(p))
#define ASSERT_UNREACHABLE() BUG()

#endif
