/* The V2 encoding of HdrHistogram; encodeIntoByteBuffer() in its Java implementation. */
#include "histogram.h"

#include <endian.h>
#include <string.h>

#define COOKIE_BASE 0x1c849303u
#define COOKIE_WORD 0x10u /* words of variable size, which V2 always has */
#define COUNT_BYTES 9     /* maximum length of a number: all 8 bits of the ninth byte are data */

/* All fields are big-endian. */
struct wire {
    uint32_t cookie;
    uint32_t payload;
    uint32_t normalizing_offset;
    uint32_t digits;
    uint64_t lowest;
    uint64_t highest;
    uint64_t ratio; /* bits of a double: the factor from integers to values */
} __attribute__((packed));

_Static_assert(sizeof(struct wire) == HISTOGRAM_HEADER, "the V2 header is 40 bytes");

static const uint64_t ratio_one = UINT64_C(0x3ff0000000000000); /* bits of 1.0 */

/* Number of encoded counts: up to the last one that is not 0, but at least one. */
static size_t used_length(const struct histogram *h)
{
    size_t length = h->length;

    while (length > 1 && !h->counts[length - 1])
        length--;
    return length;
}

/* Appends a number; returns the end of the output. */
static uint8_t *put_number(uint8_t *out, int64_t number)
{
    uint64_t rest = (uint64_t)number << 1 ^ (uint64_t)(number >> 63);
    int i;

    for (i = 1; i < COUNT_BYTES && rest > 0x7f; i++) {
        *out++ = (uint8_t)(rest | 0x80);
        rest >>= 7;
    }
    *out++ = (uint8_t)rest;
    return out;
}

/* Reads a number. Returns the byte after it, or NULL if the input ends within it. */
static const uint8_t *get_number(const uint8_t *in, const uint8_t *end, int64_t *number)
{
    uint64_t value = 0;
    int i;

    for (i = 0; i < COUNT_BYTES; i++) {
        uint64_t byte;

        if (in == end)
            return NULL;
        byte = *in++;
        if (i == COUNT_BYTES - 1 || byte < 0x80) {
            value |= byte << 7 * i;
            break;
        }
        value |= (byte & 0x7f) << 7 * i;
    }
    *number = (int64_t)(value >> 1 ^ -(value & 1));
    return in;
}

size_t histogram_encoded_bound(const struct histogram *h)
{
    return HISTOGRAM_HEADER + used_length(h) * COUNT_BYTES;
}

size_t histogram_encode(const struct histogram *h, uint8_t *out)
{
    size_t length = used_length(h), index = 0, zeros;
    uint8_t *at = out + HISTOGRAM_HEADER;
    struct wire wire = {
        .cookie = htobe32(COOKIE_BASE | COOKIE_WORD),
        .digits = htobe32((uint32_t)h->digits),
        .lowest = htobe64(1),
        .highest = htobe64(h->highest),
        .ratio = htobe64(ratio_one),
    };

    while (index < length) {
        for (zeros = 0; index + zeros < length && !h->counts[index + zeros]; zeros++)
            ;
        at = put_number(at, zeros > 1 ? -(int64_t)zeros : h->counts[index]);
        index += zeros > 1 ? zeros : 1;
    }
    wire.payload = htobe32((uint32_t)(at - out - HISTOGRAM_HEADER));
    memcpy(out, &wire, sizeof(wire));
    return (size_t)(at - out);
}

const char *histogram_decode_header(struct histogram_header *header, const uint8_t *in, size_t size)
{
    struct wire wire;

    if (size < sizeof(wire))
        return "it ends within the header";
    memcpy(&wire, in, sizeof(wire));
    if ((be32toh(wire.cookie) & ~0xf0u) != COOKIE_BASE)
        return "its counts are not in the V2 encoding of HdrHistogram";
    if (wire.normalizing_offset)
        return "its counts are shifted (normalizing index offset), which is not supported";
    if (be64toh(wire.lowest) != 1)
        return "its lowest discernible value is not 1";
    if (be64toh(wire.ratio) != ratio_one)
        return "its values are scaled (conversion ratio), which is not supported";
    header->highest = be64toh(wire.highest);
    header->digits = be32toh(wire.digits) < 10 ? (int)be32toh(wire.digits) : 10;
    header->payload = be32toh(wire.payload);
    if (!histogram_length(header->highest, header->digits))
        return "its highest value or its number of digits is out of range";
    if (header->payload > histogram_length(header->highest, header->digits) * COUNT_BYTES)
        return "its length is more than its range allows";
    return NULL;
}

const char *histogram_decode_counts(struct histogram *h, const uint8_t *in, size_t size)
{
    const uint8_t *end = in + size;
    unsigned __int128 sum = 0;
    size_t index = 0;
    int64_t number;

    while (in < end) {
        in = get_number(in, end, &number);
        if (!in)
            return "it ends within a count";
        if (index == h->length || (number < 0 && -(uint64_t)number > h->length - index))
            return "it has more counts than its range allows";
        if (number < 0) {
            index += -(uint64_t)number;
            continue;
        }
        if (number > INT64_MAX - h->total)
            return "the sum of its counts exceeds a signed 64-bit integer";
        if (number) {
            if (!h->total)
                h->min = histogram_lowest_at(h, index);
            h->max = histogram_highest_at(h, index);
            sum += (unsigned __int128)(uint64_t)number * histogram_middle_at(h, index);
            h->total += number;
            h->counts[index] = number;
        }
        index++;
    }
    h->sum = sum > UINT64_MAX ? UINT64_MAX : (uint64_t)sum;
    return NULL;
}
