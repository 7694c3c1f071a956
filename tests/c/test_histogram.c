/*
 * Tests of the histogram under AddressSanitizer and UBSan: every range, every index, and randomly
 * damaged encodings, each in a buffer of exactly its size.
 *
 * tests/unit/xenlib_cffi/test_histogram.py compares the histogram with HdrHistogram.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "histogram.h"

static const uint64_t highests[] = {
    2, 255, 256, 2047, 2048, 1000000, UINT64_C(3600000000000), INT64_MAX / 2, INT64_MAX,
};
#define N(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t random_state = 0x9e3779b97f4a7c15;

/* xorshift64*: the same sequence on every machine. */
static uint64_t next_random(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

/* A random value of a random magnitude. */
static uint64_t random_value(void)
{
    return next_random() >> next_random() % 64;
}

static int64_t sum_of_counts(const struct histogram *h)
{
    int64_t total = 0;
    size_t i;

    for (i = histogram_next(h, 0); i < h->length; i = histogram_next(h, i + 1))
        total += h->counts[i];
    return total;
}

static bool same_counts(const struct histogram *a, const struct histogram *b)
{
    return a->length == b->length && a->total == b->total &&
           !memcmp(a->counts, b->counts, a->length * sizeof(a->counts[0]));
}

static void test_invalid_arguments(void)
{
    CHECK(!histogram_new(1, 3));
    CHECK(!histogram_new((uint64_t)INT64_MAX + 1, 3));
    CHECK(!histogram_new(1000, 0));
    CHECK(!histogram_new(1000, 6));
    CHECK(!histogram_new(1000, -1));
    histogram_free(NULL);
}

static void test_indices(uint64_t highest, int digits)
{
    struct histogram *h = histogram_new(highest, digits);
    uint64_t scale = 1;
    size_t i;
    int d;

    CHECK(h);
    for (d = 0; d < digits; d++)
        scale *= 10;
    for (i = 0; i < h->length; i++) {
        uint64_t low = histogram_lowest_at(h, i), high = histogram_highest_at(h, i);

        CHECK(histogram_index(h, low) == i);
        CHECK(histogram_index(h, high) == i);
        CHECK(low <= histogram_middle_at(h, i) && histogram_middle_at(h, i) <= high);
        CHECK(i == 0 || histogram_highest_at(h, i - 1) + 1 == low);
        CHECK((high - low) <= low / scale); /* the width keeps the digits significant */
    }
    CHECK(histogram_index(h, highest) < h->length);
    CHECK(histogram_highest_at(h, h->length - 1) >= highest);
    histogram_free(h);
}

static void test_records(uint64_t highest, int digits)
{
    const uint64_t values[] = {
        0,         1,    2,           255,     256,         257,       2047,
        2048,      2049, highest - 1, highest, highest + 1, INT64_MAX, (uint64_t)INT64_MAX + 1,
        UINT64_MAX
    };
    struct histogram *h = histogram_new(highest, digits);
    struct histogram *single = histogram_new(highest, digits);
    int64_t above = 0;
    size_t i;

    CHECK(h && single);
    for (i = 0; i < N(values); i++) {
        above += values[i] > highest;
        histogram_record(h, values[i]);
        CHECK(histogram_record_count(single, values[i], 1));
    }
    CHECK(h->total == N(values) && sum_of_counts(h) == h->total);
    CHECK(h->clamped == above && single->clamped == above);
    CHECK(h->min == 0 && h->max == highest);
    CHECK(same_counts(h, single) && h->sum == single->sum);
    CHECK(histogram_percentile(h, 0) == 0);
    CHECK(histogram_percentile(h, 100) >= highest);

    CHECK(!histogram_record_count(h, 0, INT64_MAX));
    CHECK(!histogram_record_count(h, 0, -1));
    CHECK(h->total == N(values));
    CHECK(histogram_record_count(h, highest, INT64_MAX - h->total));
    CHECK(h->total == INT64_MAX && (h->sum == UINT64_MAX || highest == 2));
    CHECK(!histogram_merge(h, single));
    CHECK(histogram_percentile(h, 100) >= highest);
    CHECK(histogram_mean(h) <= (double)histogram_highest_at(h, h->length - 1));
    CHECK(histogram_stdev(h) >= 0);
    histogram_free(h);
    histogram_free(single);
}

static void test_merges(int digits, int other_digits)
{
    struct histogram *h = histogram_new(1000000, digits);
    struct histogram *other = histogram_new(INT64_MAX, other_digits);
    struct histogram *empty = histogram_new(2, 1);
    int64_t above = 0;
    int i;

    CHECK(h && other && empty);
    for (i = 0; i < 1000; i++)
        histogram_record(other, random_value());
    for (i = 0; i < (int)other->length; i++)
        if (histogram_lowest_at(other, i) > h->highest)
            above += other->counts[i];
    CHECK(above > 0);
    above += other->clamped;
    CHECK(histogram_merge(h, empty) && h->total == 0 && h->min == UINT64_MAX);
    CHECK(histogram_merge(h, other));
    CHECK(h->total == 1000 && sum_of_counts(h) == 1000);
    CHECK(h->clamped == above);
    CHECK(h->max == h->highest && h->min == other->min);
    CHECK(histogram_merge(h, h));
    CHECK(h->total == 2000 && sum_of_counts(h) == 2000 && h->clamped == 2 * above);
    histogram_free(h);
    histogram_free(other);
    histogram_free(empty);
}

static void test_corrections(int digits)
{
    struct histogram *h = histogram_new(1000000, digits);
    struct histogram *plain = histogram_new(1000000, digits);
    uint64_t value, interval, missing;
    int i;

    CHECK(h && plain);
    for (i = 0; i < 3000; i++) {
        value = next_random() % 1100000;
        interval = next_random() % 3 ? next_random() % 200000 : next_random() % 50;
        histogram_record_corrected(h, value, interval);
        histogram_record(plain, value);
        if (value > plain->highest)
            value = plain->highest;
        for (missing = value; interval && missing >= 2 * interval;) {
            missing -= interval;
            histogram_record(plain, missing);
        }
    }
    CHECK(same_counts(h, plain));
    CHECK(h->sum == plain->sum && h->min == plain->min && h->max == plain->max);

    histogram_reset(h);
    histogram_record_missing(h, 100, 0);
    histogram_record_missing(h, 100, 51);
    histogram_record_missing(h, UINT64_MAX, UINT64_MAX);
    CHECK(h->total == 0);
    histogram_record_corrected(h, UINT64_MAX, 1);
    CHECK(h->total == 1000000 && sum_of_counts(h) == h->total && h->min == 1);
    histogram_free(h);
    histogram_free(plain);
}

/* Returns the encoding in a block of exactly its size, so that the sanitizer finds any overrun. */
static uint8_t *encode(const struct histogram *h, size_t *size)
{
    uint8_t *buffer = malloc(histogram_encoded_bound(h)), *exact;

    CHECK(buffer);
    *size = histogram_encode(h, buffer);
    exact = malloc(*size);
    CHECK(exact);
    memcpy(exact, buffer, *size);
    free(buffer);
    return exact;
}

/* Returns the decoded histogram, or NULL and the error. */
static struct histogram *decode(const uint8_t *in, size_t size, const char **error)
{
    struct histogram_header header;
    struct histogram *h;

    *error = histogram_decode_header(&header, in, size);
    if (*error)
        return NULL;
    h = histogram_new(header.highest, header.digits);
    CHECK(h);
    *error = histogram_decode_counts(h, in + HISTOGRAM_HEADER, size - HISTOGRAM_HEADER);
    if (*error) {
        histogram_free(h);
        return NULL;
    }
    return h;
}

static void test_encodings(uint64_t highest, int digits)
{
    struct histogram *h = histogram_new(highest, digits), *read;
    const char *error;
    uint8_t *bytes;
    size_t size;
    int round;

    CHECK(h);
    for (round = 0; round < 40; round++) {
        /* An empty histogram first, then counts of every encoded length. */
        if (round)
            histogram_record_count(h, random_value(), (int64_t)(random_value() >> 6));
        if (round == 39) {
            histogram_record(h, highest);
            CHECK(histogram_record_count(h, highest, INT64_MAX - h->total));
        }
        bytes = encode(h, &size);
        read = decode(bytes, size, &error);
        CHECK(read && !error);
        CHECK(same_counts(read, h));
        CHECK(!h->total || (read->min <= h->min && read->max >= h->max));
        histogram_free(read);
        free(bytes);
    }
    histogram_free(h);
}

/* Small histograms only: a damaged header of a larger one may demand up to 50 MB. */
static void test_damage(int rounds)
{
    int rejected = 0, accepted = 0, round, i;

    for (round = 0; round < rounds; round++) {
        struct histogram *h = histogram_new(highests[next_random() % 6],
                                            1 + (int)(next_random() % 3)),
                         *read;
        const char *error;
        uint8_t *bytes, *cut;
        size_t size, length, end;
        bool fits;

        CHECK(h);
        for (i = (int)(next_random() % 20); i >= 0; i--)
            histogram_record_count(h, random_value(), (int64_t)(random_value() >> 6));
        bytes = encode(h, &size);
        for (i = (int)(next_random() % 4); i >= 0; i--) {
            /* Rarely in the header, where damage may make the histogram large. */
            size_t from = next_random() % 8 ? HISTOGRAM_HEADER : 0;

            bytes[from + next_random() % (size - from)] = next_random() % 2
                                                              ? 0xff
                                                              : (uint8_t)next_random();
        }
        length = next_random() % 3 ? size : next_random() % (size + 1);
        cut = malloc(length ? length : 1);
        CHECK(cut);
        memcpy(cut, bytes, length);
        read = decode(cut, length, &error);
        if (read) {
            accepted++;
            CHECK(read->total >= 0 && sum_of_counts(read) == read->total);
            end = histogram_next(read, 0);
            CHECK((end == read->length) == (read->total == 0));
            CHECK(histogram_percentile(read, 50) <= INT64_MAX);
            fits = read->total <= INT64_MAX - read->total;
            CHECK(histogram_merge(read, read) == fits);
            CHECK(sum_of_counts(read) == read->total);
        } else {
            rejected++;
            CHECK(error && *error);
        }
        histogram_free(read);
        histogram_free(h);
        free(bytes);
        free(cut);
    }
    /* The damage is useful only if both outcomes are frequent. */
    CHECK(rejected > rounds / 10 && accepted > rounds / 10);
}

int main(void)
{
    size_t i;
    int digits;

    test_invalid_arguments();
    for (digits = 1; digits <= 5; digits++) {
        for (i = 0; i < N(highests); i++) {
            test_indices(highests[i], digits);
            test_records(highests[i], digits);
            if (digits <= 3)
                test_encodings(highests[i], digits);
        }
        test_corrections(digits);
    }
    test_merges(2, 3);
    test_merges(3, 2);
    test_merges(3, 3);
    test_damage(20000);
    return 0;
}
