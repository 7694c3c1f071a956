/*
 * A histogram in HdrHistogram's bucket layout (Gil Tene, lowest discernible value 1): buckets of
 * constant relative width, so that one structure of fixed size holds nanoseconds and hours to the
 * same number of significant digits.
 *
 * Recording is inline and costs no division: it runs inside the timed loops. One thread a
 * histogram; merge them afterwards.
 */
#ifndef XENLIB_HISTOGRAM_H
#define XENLIB_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct histogram {
    /* What every record touches comes first: it is one cache line. */
    uint64_t highest;         /* larger values are counted as this one */
    uint64_t sub_bucket_mask; /* values within it are in the first bucket */
    int half_magnitude;       /* log2 of half the sub-buckets of a bucket */
    int digits;               /* significant decimal digits */
    int64_t total;            /* values recorded */
    uint64_t min;             /* exact; UINT64_MAX when empty */
    uint64_t max;             /* exact; 0 when empty */
    uint64_t sum;             /* exact, of the values as counted; stops at UINT64_MAX */
    int64_t clamped;          /* values recorded that were above highest */
    size_t length;            /* of counts */
    int64_t counts[];
};

/* Length of the counts for that range and precision; 0 where there is no such histogram:
 * highest must be 2..INT64_MAX and digits 1..5. */
size_t histogram_length(uint64_t highest, int digits);

/* NULL when histogram_length() is 0 or memory is short. Every page is touched, so that recording
 * takes no page fault. */
struct histogram *histogram_new(uint64_t highest, int digits);
void histogram_free(struct histogram *h);
void histogram_reset(struct histogram *h);

static inline size_t histogram_index(const struct histogram *h, uint64_t value)
{
    /* The mask makes every value of the first bucket have the same leading zeros, and 0 have
     * any at all. */
    int bucket = 63 - __builtin_clzll(value | h->sub_bucket_mask) - h->half_magnitude;

    return ((size_t)bucket << h->half_magnitude) + (size_t)(value >> bucket);
}

static inline void histogram_record(struct histogram *h, uint64_t value)
{
    if (__builtin_expect(value > h->highest, 0)) {
        value = h->highest;
        h->clamped++;
    }
    h->counts[histogram_index(h, value)]++;
    h->total++;
    if (__builtin_add_overflow(h->sum, value, &h->sum))
        h->sum = UINT64_MAX;
    if (value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
}

/* As count times histogram_record(). False, and nothing recorded, when the total would pass
 * INT64_MAX or count is negative. */
bool histogram_record_count(struct histogram *h, uint64_t value, int64_t count);

/* Slow part of histogram_record_corrected(). */
void histogram_record_missing(struct histogram *h, uint64_t value, uint64_t interval);

/*
 * Records value, and for coordinated omission also the values that calls due every interval would
 * have seen while this one was being waited for: value - interval, value - 2 * interval, ... down
 * to interval. An interval of 0 corrects nothing. All in the same unit.
 */
static inline void histogram_record_corrected(struct histogram *h, uint64_t value,
                                              uint64_t interval)
{
    histogram_record(h, value);
    if (__builtin_expect(interval && value / 2 >= interval, 0))
        histogram_record_missing(h, value, interval);
}

/* Adds other's counts, each at the lowest value of its bucket when the layouts differ. False, and
 * nothing merged, when the total would pass INT64_MAX. Other may be h. */
bool histogram_merge(struct histogram *h, const struct histogram *other);

/* First index from `from` on whose count is not 0, or h->length. */
size_t histogram_next(const struct histogram *h, size_t from);
/* Smallest, middle and largest value counted at index. */
uint64_t histogram_lowest_at(const struct histogram *h, size_t index);
uint64_t histogram_middle_at(const struct histogram *h, size_t index);
uint64_t histogram_highest_at(const struct histogram *h, size_t index);

/* Largest value of the bucket that holds the percentile (0..100), the rank rounded half up; for
 * percentile 0 the smallest value of the first bucket. 0 when empty. */
uint64_t histogram_percentile(const struct histogram *h, double percentile);
/* Of the buckets' middles; 0 when empty. */
double histogram_mean(const struct histogram *h);
double histogram_stdev(const struct histogram *h);

/* HdrHistogram's V2 encoding, not compressed: a header of HISTOGRAM_HEADER bytes, then the counts
 * in ZigZag LEB128 of at most 9 bytes, runs of zeros as one negative number. */
#define HISTOGRAM_HEADER 40

/* Largest number of bytes histogram_encode() writes. */
size_t histogram_encoded_bound(const struct histogram *h);
/* Returns how many bytes it wrote. */
size_t histogram_encode(const struct histogram *h, uint8_t *out);

/* What a header says. */
struct histogram_header {
    uint64_t highest;
    int digits;
    size_t payload; /* bytes that follow the header */
};

/* Both return NULL, or what is wrong with the bytes. */
const char *histogram_decode_header(struct histogram_header *header, const uint8_t *in,
                                    size_t size);
/* Into a histogram new or reset, made as the header says. Its min, max and sum are those of the
 * buckets. After an error h is to be freed or reset. */
const char *histogram_decode_counts(struct histogram *h, const uint8_t *in, size_t size);

#endif
