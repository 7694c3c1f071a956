/* HdrHistogram's V2 encoding: what its Java original calls encodeIntoByteBuffer(). */
#include "histogram.h"

#include <endian.h>
#include <string.h>

#define COOKIE_BASE 0x1c849303u
#define COOKIE_WORD 0x10u /* "the word size varies": always so in V2 */
#define COUNT_BYTES 9     /* of a LEB128 number whose ninth byte has all eight bits */

/* All fields are big-endian. */
struct wire {
    uint32_t cookie;
    uint32_t payload;
    uint32_t normalizing_offset;
    uint32_t digits;
    uint64_t lowest;
    uint64_t highest;
    uint64_t ratio; /* bits of the double that integers are multiplied with */
} __attribute__((packed));

_Static_assert(sizeof(struct wire) == HISTOGRAM_HEADER, "the V2 header is 40 bytes");

static const uint64_t one = UINT64_C(0x3ff0000000000000); /* bits of 1.0 */

/* Number of counts written: up to the last that is not 0, and at least one. */
static size_t used_length(const struct histogram *h)
{
    size_t length = h->length;

    while (length > 1 && !h->counts[length - 1])
        length--;
    return length;
}

static uint8_t *put(uint8_t *out, int64_t number)
{
    uint64_t left = (uint64_t)number << 1 ^ (uint64_t)(number >> 63);
    int i;

    for (i = 1; i < COUNT_BYTES && left > 0x7f; i++) {
        *out++ = (uint8_t)(left | 0x80);
        left >>= 7;
    }
    *out++ = (uint8_t)left;
    return out;
}

/* Returns the byte after the number, or NULL when it ends too early. */
static const uint8_t *get(const uint8_t *in, const uint8_t *end, int64_t *number)
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
        .ratio = htobe64(one),
    };

    while (index < length) {
        for (zeros = 0; index + zeros < length && !h->counts[index + zeros]; zeros++)
            ;
        at = put(at, zeros > 1 ? -(int64_t)zeros : h->counts[index]);
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
        return "it ends within its header";
    memcpy(&wire, in, sizeof(wire));
    if ((be32toh(wire.cookie) & ~0xf0u) != COOKIE_BASE)
        return "its counts are not in HdrHistogram's V2 encoding";
    if (wire.normalizing_offset)
        return "its counts are shifted (normalizing index offset), which is not read here";
    if (be64toh(wire.lowest) != 1)
        return "its lowest discernible value is not 1";
    if (be64toh(wire.ratio) != one)
        return "its values are scaled (conversion ratio), which is not read here";
    header->highest = be64toh(wire.highest);
    header->digits = be32toh(wire.digits) < 10 ? (int)be32toh(wire.digits) : 10;
    header->payload = be32toh(wire.payload);
    if (!histogram_length(header->highest, header->digits))
        return "its highest value or its digits are out of range";
    if (header->payload > histogram_length(header->highest, header->digits) * COUNT_BYTES)
        return "it says to be longer than its range can be";
    return NULL;
}

const char *histogram_decode_counts(struct histogram *h, const uint8_t *in, size_t size)
{
    const uint8_t *end = in + size;
    unsigned __int128 sum = 0;
    size_t index = 0;
    int64_t number;

    while (in < end) {
        in = get(in, end, &number);
        if (!in)
            return "it ends within a count";
        if (index == h->length || (number < 0 && -(uint64_t)number > h->length - index))
            return "it has more counts than its range";
        if (number < 0) {
            index += -(uint64_t)number;
            continue;
        }
        if (number > INT64_MAX - h->total)
            return "its counts add up to more than a 64-bit number holds";
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
