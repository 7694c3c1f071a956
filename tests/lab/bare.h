/* What bare_loop.c and bare_copy.c have in common. */
#ifndef TESTS_BARE_H
#define TESTS_BARE_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define PAGE 4096

static inline uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static inline double median(uint64_t *ns, size_t count, unsigned batch)
{
    qsort(ns, count, sizeof(*ns), by_value);
    return (double)ns[count / 2] / batch;
}

#endif
