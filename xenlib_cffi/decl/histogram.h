/* csrc/histogram.h */
struct histogram {
    uint64_t highest;
    int digits;
    int64_t total;
    uint64_t min;
    uint64_t max;
    uint64_t sum;
    int64_t clamped;
    size_t length;
    int64_t counts[];
    ...;
};
struct histogram_header {
    uint64_t highest;
    int digits;
    size_t payload;
};
#define HISTOGRAM_HEADER ...

size_t histogram_length(uint64_t highest, int digits);
struct histogram *histogram_new(uint64_t highest, int digits);
void histogram_free(struct histogram *h);
void histogram_reset(struct histogram *h);
void histogram_record(struct histogram *h, uint64_t value);
bool histogram_record_count(struct histogram *h, uint64_t value, int64_t count);
void histogram_record_corrected(struct histogram *h, uint64_t value, uint64_t interval);
bool histogram_merge(struct histogram *h, const struct histogram *other);
size_t histogram_next(const struct histogram *h, size_t from);
uint64_t histogram_lowest_at(const struct histogram *h, size_t index);
uint64_t histogram_highest_at(const struct histogram *h, size_t index);
uint64_t histogram_percentile(const struct histogram *h, double percentile);
double histogram_mean(const struct histogram *h);
double histogram_stdev(const struct histogram *h);
size_t histogram_encoded_bound(const struct histogram *h);
size_t histogram_encode(const struct histogram *h, uint8_t *out);
const char *histogram_decode_header(struct histogram_header *header, const uint8_t *in,
                                    size_t size);
const char *histogram_decode_counts(struct histogram *h, const uint8_t *in, size_t size);
