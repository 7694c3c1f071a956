/*
 * A histogram in the bucket layout of HdrHistogram (Gil Tene; lowest discernible value 1). The
 * buckets have a constant relative width, so that one structure of fixed size records nanoseconds
 * and hours with the same number of significant digits.
 *
 * Recording is inline and needs no division, because it runs in the timed loop. A histogram is not
 * thread-safe: use one per thread and merge them afterwards.
 */
#ifndef XENLIB_HISTOGRAM_H
#define XENLIB_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct histogram {
    /* The fields that each record accesses are in the first cache line. */
    uint64_t highest;         /* larger values are recorded as this one */
    uint64_t sub_bucket_mask; /* values that fit in the mask are in the first bucket */
    int half_magnitude;       /* log2 of half the number of sub-buckets per bucket */
    int digits;               /* significant decimal digits */
    int64_t total;            /* number of recorded values */
    uint64_t min;             /* exact; UINT64_MAX when empty */
    uint64_t max;             /* exact, unless values were clamped; 0 when empty */
    uint64_t sum;             /* of the recorded values, as clamped; saturates at UINT64_MAX */
    int64_t clamped;          /* number of recorded values above highest */
    size_t length;            /* number of counts */
    int64_t counts[];
};

/* Number of counts for a range and a precision; 0 if an argument is out of range: highest must be
 * 2..INT64_MAX and digits 1..5. */
size_t histogram_length(uint64_t highest, int digits);

/* Returns NULL if histogram_length() is 0 or if there is not enough memory. Every page is touched,
 * so that recording causes no page fault. */
struct histogram *histogram_new(uint64_t highest, int digits);
void histogram_free(struct histogram *h);
void histogram_reset(struct histogram *h);

static inline size_t histogram_index(const struct histogram *h, uint64_t value)
{
    /* The mask gives all values of the first bucket the same number of leading zeros. For 0 alone,
     * __builtin_clzll() would be undefined. */
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

/* Records value count times. Returns false and records nothing if count is negative or if the total
 * would exceed INT64_MAX. */
bool histogram_record_count(struct histogram *h, uint64_t value, int64_t count);

/* The slow path of histogram_record_corrected(). */
void histogram_record_missing(struct histogram *h, uint64_t value, uint64_t interval);

/*
 * Records value and corrects for coordinated omission: also records the latencies of the calls that
 * were due every interval while the caller waited: value - interval, value - 2 * interval, ..., down
 * to interval. Both arguments have the same unit. An interval of 0 corrects nothing.
 */
static inline void histogram_record_corrected(struct histogram *h, uint64_t value,
                                              uint64_t interval)
{
    histogram_record(h, value);
    if (__builtin_expect(interval && value / 2 >= interval, 0))
        histogram_record_missing(h, value, interval);
}

/* Adds the counts of other. If the layouts differ, each is added at the lowest value of its bucket.
 * Returns false and adds nothing if the total would exceed INT64_MAX. other may be h. */
bool histogram_merge(struct histogram *h, const struct histogram *other);

/* Returns the first index >= from whose count is not 0, or h->length. */
size_t histogram_next(const struct histogram *h, size_t from);
/* The smallest, middle and largest value that is counted at index. */
uint64_t histogram_lowest_at(const struct histogram *h, size_t index);
uint64_t histogram_middle_at(const struct histogram *h, size_t index);
uint64_t histogram_highest_at(const struct histogram *h, size_t index);

/* The largest value of the bucket that contains the percentile (0..100); the rank is rounded half
 * up. For percentile 0, the smallest value of the first non-empty bucket. 0 if h is empty. */
uint64_t histogram_percentile(const struct histogram *h, double percentile);
/* Both are computed from the middles of the buckets; 0 if h is empty. */
double histogram_mean(const struct histogram *h);
double histogram_stdev(const struct histogram *h);

/* The uncompressed V2 encoding of HdrHistogram: a header of HISTOGRAM_HEADER bytes, then the counts
 * as ZigZag LEB128 numbers of at most 9 bytes. A run of zeros is one negative number. */
#define HISTOGRAM_HEADER 40

/* Maximum number of bytes that histogram_encode() writes. */
size_t histogram_encoded_bound(const struct histogram *h);
/* Returns the number of bytes written. */
size_t histogram_encode(const struct histogram *h, uint8_t *out);

/* The decoded fields of a header. */
struct histogram_header {
    uint64_t highest;
    int digits;
    size_t payload; /* number of bytes that follow the header */
};

/* Both decoders return NULL, or a description of the error. */
const char *histogram_decode_header(struct histogram_header *header, const uint8_t *in,
                                    size_t size);
/* h must be empty, with the range and the digits of the header. min, max and sum become those of
 * the buckets. After an error, h must be freed or reset. */
const char *histogram_decode_counts(struct histogram *h, const uint8_t *in, size_t size);

#endif
