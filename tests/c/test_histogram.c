/*
 * The histogram at its edges, for AddressSanitizer and UBSan to watch: every range, every index,
 * and encodings damaged at random, each in a buffer of exactly its size.
 *
 * What is measured against HdrHistogram itself stands in tests/unit/test_histogram.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, __func__, #what); \
            exit(1); \
        } \
    } while (0)

static const uint64_t highests[] = {
    2, 255, 256, 2047, 2048, 1000000, UINT64_C(3600000000000), INT64_MAX / 2, INT64_MAX,
};
#define N(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t random_state = 0x9e3779b97f4a7c15;

/* xorshift64*: the same sequence on every machine. */
static uint64_t any(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

/* A value of any magnitude. */
static uint64_t any_value(void)
{
    return any() >> any() % 64;
}

static int64_t counted(const struct histogram *h)
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

static void test_refused_shapes(void)
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
        CHECK((high - low) <= low / scale); /* the digits are really significant */
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
    struct histogram *one = histogram_new(highest, digits);
    int64_t above = 0;
    size_t i;

    CHECK(h && one);
    for (i = 0; i < N(values); i++) {
        above += values[i] > highest;
        histogram_record(h, values[i]);
        CHECK(histogram_record_count(one, values[i], 1));
    }
    CHECK(h->total == N(values) && counted(h) == h->total);
    CHECK(h->clamped == above && one->clamped == above);
    CHECK(h->min == 0 && h->max == highest);
    CHECK(same_counts(h, one) && h->sum == one->sum);
    CHECK(histogram_percentile(h, 0) == 0);
    CHECK(histogram_percentile(h, 100) >= highest);

    CHECK(!histogram_record_count(h, 0, INT64_MAX));
    CHECK(!histogram_record_count(h, 0, -1));
    CHECK(h->total == N(values));
    CHECK(histogram_record_count(h, highest, INT64_MAX - h->total));
    CHECK(h->total == INT64_MAX && (h->sum == UINT64_MAX || highest == 2));
    CHECK(!histogram_merge(h, one));
    CHECK(histogram_percentile(h, 100) >= highest);
    CHECK(histogram_mean(h) <= (double)histogram_highest_at(h, h->length - 1));
    CHECK(histogram_stdev(h) >= 0);
    histogram_free(h);
    histogram_free(one);
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
        histogram_record(other, any_value());
    for (i = 0; i < (int)other->length; i++)
        if (histogram_lowest_at(other, i) > h->highest)
            above += other->counts[i];
    CHECK(above > 0);
    above += other->clamped;
    CHECK(histogram_merge(h, empty) && h->total == 0 && h->min == UINT64_MAX);
    CHECK(histogram_merge(h, other));
    CHECK(h->total == 1000 && counted(h) == 1000);
    CHECK(h->clamped == above);
    CHECK(h->max == h->highest && h->min == other->min);
    CHECK(histogram_merge(h, h));
    CHECK(h->total == 2000 && counted(h) == 2000 && h->clamped == 2 * above);
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
        value = any() % 1100000;
        interval = any() % 3 ? any() % 200000 : any() % 50;
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
    CHECK(h->total == 1000000 && counted(h) == h->total && h->min == 1);
    histogram_free(h);
    histogram_free(plain);
}

/* In a block of exactly the size, so that a byte read or written too many is found out. */
static uint8_t *encoded(const struct histogram *h, size_t *size)
{
    uint8_t *room = malloc(histogram_encoded_bound(h)), *exact;

    CHECK(room);
    *size = histogram_encode(h, room);
    exact = malloc(*size);
    CHECK(exact);
    memcpy(exact, room, *size);
    free(room);
    return exact;
}

/* NULL, and why, when it cannot be decoded. */
static struct histogram *decoded(const uint8_t *in, size_t size, const char **why)
{
    struct histogram_header header;
    struct histogram *h;

    *why = histogram_decode_header(&header, in, size);
    if (*why)
        return NULL;
    h = histogram_new(header.highest, header.digits);
    CHECK(h);
    *why = histogram_decode_counts(h, in + HISTOGRAM_HEADER, size - HISTOGRAM_HEADER);
    if (*why) {
        histogram_free(h);
        return NULL;
    }
    return h;
}

static void test_encodings(uint64_t highest, int digits)
{
    struct histogram *h = histogram_new(highest, digits), *read;
    const char *why;
    uint8_t *bytes;
    size_t size;
    int round;

    CHECK(h);
    for (round = 0; round < 40; round++) {
        /* Counts of every length in bytes, an empty histogram first. */
        if (round)
            histogram_record_count(h, any_value(), (int64_t)(any_value() >> 6));
        if (round == 39) {
            histogram_record(h, highest);
            CHECK(histogram_record_count(h, highest, INT64_MAX - h->total));
        }
        bytes = encoded(h, &size);
        read = decoded(bytes, size, &why);
        CHECK(read && !why);
        CHECK(same_counts(read, h));
        CHECK(!h->total || (read->min <= h->min && read->max >= h->max));
        histogram_free(read);
        free(bytes);
    }
    histogram_free(h);
}

/* Small shapes: the damage may ask for up to 50 MB of counts otherwise. */
static void test_damage(int rounds)
{
    int refused = 0, accepted = 0, round, i;

    for (round = 0; round < rounds; round++) {
        struct histogram *h = histogram_new(highests[any() % 6], 1 + (int)(any() % 3)), *read;
        const char *why;
        uint8_t *bytes, *cut;
        size_t size, kept, end;
        bool fits;

        CHECK(h);
        for (i = (int)(any() % 20); i >= 0; i--)
            histogram_record_count(h, any_value(), (int64_t)(any_value() >> 6));
        bytes = encoded(h, &size);
        for (i = (int)(any() % 4); i >= 0; i--) {
            /* Mostly in the counts; rarely in the digits, which would make them large. */
            size_t from = any() % 8 ? HISTOGRAM_HEADER : 0;

            bytes[from + any() % (size - from)] = any() % 2 ? 0xff : (uint8_t)any();
        }
        kept = any() % 3 ? size : any() % (size + 1);
        cut = malloc(kept ? kept : 1);
        CHECK(cut);
        memcpy(cut, bytes, kept);
        read = decoded(cut, kept, &why);
        if (read) {
            accepted++;
            CHECK(read->total >= 0 && counted(read) == read->total);
            end = histogram_next(read, 0);
            CHECK((end == read->length) == (read->total == 0));
            CHECK(histogram_percentile(read, 50) <= INT64_MAX);
            fits = read->total <= INT64_MAX - read->total;
            CHECK(histogram_merge(read, read) == fits);
            CHECK(counted(read) == read->total);
        } else {
            refused++;
            CHECK(why && *why);
        }
        histogram_free(read);
        histogram_free(h);
        free(bytes);
        free(cut);
    }
    /* Both happen a lot, or the damage is not what it should be. */
    CHECK(refused > rounds / 10 && accepted > rounds / 10);
}

int main(void)
{
    size_t i;
    int digits;

    test_refused_shapes();
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
