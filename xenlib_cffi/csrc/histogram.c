#include "histogram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64
#define MAX_DIGITS 5

/* log2 of half the number of sub-buckets: a bucket distinguishes 2 * 10^digits values. */
static int half_magnitude(int digits)
{
    uint64_t values = 2;

    while (digits-- > 0)
        values *= 10;
    return 63 - __builtin_clzll(values - 1);
}

size_t histogram_length(uint64_t highest, int digits)
{
    int magnitude, buckets = 1;

    if (highest < 2 || highest > INT64_MAX || digits < 1 || digits > MAX_DIGITS)
        return 0;
    magnitude = half_magnitude(digits);
    while (magnitude + buckets < 63 && UINT64_C(1) << (magnitude + buckets) <= highest)
        buckets++;
    return (size_t)(buckets + 1) << magnitude;
}

struct histogram *histogram_new(uint64_t highest, int digits)
{
    size_t length = histogram_length(highest, digits);
    struct histogram *h;
    size_t size;

    if (!length)
        return NULL;
    size = sizeof(*h) + length * sizeof(h->counts[0]);
    h = aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!h)
        return NULL;
    h->highest = highest;
    h->half_magnitude = half_magnitude(digits);
    h->sub_bucket_mask = (UINT64_C(2) << h->half_magnitude) - 1;
    h->digits = digits;
    h->length = length;
    histogram_reset(h);
    return h;
}

void histogram_free(struct histogram *h)
{
    free(h);
}

void histogram_reset(struct histogram *h)
{
    h->total = 0;
    h->min = UINT64_MAX;
    h->max = 0;
    h->sum = 0;
    h->clamped = 0;
    memset(h->counts, 0, h->length * sizeof(h->counts[0]));
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void extend(struct histogram *h, uint64_t min, uint64_t max)
{
    if (min < h->min)
        h->min = min;
    if (max > h->max)
        h->max = max;
}

static void add_to_sum(struct histogram *h, unsigned __int128 amount)
{
    h->sum = amount > UINT64_MAX - h->sum ? UINT64_MAX : h->sum + (uint64_t)amount;
}

bool histogram_record_count(struct histogram *h, uint64_t value, int64_t count)
{
    if (count < 0 || count > INT64_MAX - h->total)
        return false;
    if (!count)
        return true;
    if (value > h->highest) {
        value = h->highest;
        h->clamped += count;
    }
    h->counts[histogram_index(h, value)] += count;
    h->total += count;
    add_to_sum(h, (unsigned __int128)value * (uint64_t)count);
    extend(h, value, value);
    return true;
}

void histogram_record_missing(struct histogram *h, uint64_t value, uint64_t interval)
{
    uint64_t missing, lowest, last;
    int64_t count;
    size_t index;

    value = least(value, h->highest);
    if (!interval || value / 2 < interval)
        return;
    extend(h, interval + value % interval, value - interval);
    /* One bucket per iteration: a stall of an hour at a million calls per second omits 3.6e9
     * values. `last` is never less than interval: buckets wider than interval lie above it. */
    for (missing = value - interval; missing >= interval; missing = last - interval) {
        index = histogram_index(h, missing);
        lowest = histogram_lowest_at(h, index);
        last = missing - (missing - lowest) / interval * interval;
        count = (int64_t)((missing - last) / interval) + 1;
        h->counts[index] += count;
        h->total += count;
        add_to_sum(h, ((unsigned __int128)missing + last) * (uint64_t)count / 2);
    }
}

bool histogram_merge(struct histogram *h, const struct histogram *other)
{
    int64_t clamped = other->clamped;
    uint64_t value;
    size_t index;

    if (other->total > INT64_MAX - h->total)
        return false;
    if (!other->total)
        return true;
    for (index = histogram_next(other, 0); index < other->length;
         index = histogram_next(other, index + 1)) {
        value = histogram_lowest_at(other, index);
        if (value > h->highest) {
            value = h->highest;
            clamped += other->counts[index];
        }
        h->counts[histogram_index(h, value)] += other->counts[index];
    }
    h->clamped += clamped;
    h->total += other->total;
    add_to_sum(h, other->sum);
    extend(h, least(other->min, h->highest), least(other->max, h->highest));
    return true;
}

size_t histogram_next(const struct histogram *h, size_t from)
{
    while (from < h->length && !h->counts[from])
        from++;
    return from;
}

/* log2 of the width of a sub-bucket: 0 in both halves of the first bucket. */
static int width_magnitude(const struct histogram *h, size_t index)
{
    int bucket = (int)(index >> h->half_magnitude) - 1;

    return bucket < 0 ? 0 : bucket;
}

uint64_t histogram_lowest_at(const struct histogram *h, size_t index)
{
    int magnitude = width_magnitude(h, index);

    return ((uint64_t)index - ((uint64_t)magnitude << h->half_magnitude)) << magnitude;
}

uint64_t histogram_highest_at(const struct histogram *h, size_t index)
{
    return histogram_lowest_at(h, index) + (UINT64_C(1) << width_magnitude(h, index)) - 1;
}

uint64_t histogram_percentile(const struct histogram *h, double percentile)
{
    double rank = percentile * (double)h->total / 100 + 0.5;
    int64_t position, cumulative = 0;
    size_t index;

    if (!h->total)
        return 0;
    if (rank >= (double)h->total)
        position = h->total;
    else
        position = rank > 1 ? (int64_t)rank : 1;
    for (index = histogram_next(h, 0); index < h->length; index = histogram_next(h, index + 1)) {
        cumulative += h->counts[index];
        if (cumulative >= position)
            break;
    }
    return percentile > 0 ? histogram_highest_at(h, index) : histogram_lowest_at(h, index);
}

uint64_t histogram_middle_at(const struct histogram *h, size_t index)
{
    return histogram_lowest_at(h, index) + (UINT64_C(1) << width_magnitude(h, index)) / 2;
}

double histogram_mean(const struct histogram *h)
{
    double sum = 0;
    size_t index;

    for (index = histogram_next(h, 0); index < h->length; index = histogram_next(h, index + 1))
        sum += (double)histogram_middle_at(h, index) * (double)h->counts[index];
    return h->total ? sum / (double)h->total : 0;
}

double histogram_stdev(const struct histogram *h)
{
    double mean = histogram_mean(h), squares = 0, deviation;
    size_t index;

    for (index = histogram_next(h, 0); index < h->length; index = histogram_next(h, index + 1)) {
        deviation = (double)histogram_middle_at(h, index) - mean;
        squares += deviation * deviation * (double)h->counts[index];
    }
    return h->total ? sqrt(squares / (double)h->total) : 0;
}
