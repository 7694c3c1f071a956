/* Mutation by steps: bytes put in or left out would make other steps of all that follow. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../differ/differ.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t max_size, unsigned int seed);

enum { STEP = sizeof(struct step) };

static size_t steps_in(size_t size)
{
    return size ? (size - 1) / STEP : 0;
}

/* Opens a gap of @n steps before step @at. */
static void make_room(struct step *steps, size_t count, size_t at, size_t n)
{
    memmove(&steps[at + n], &steps[at], (count - at) * STEP);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    struct step *steps = (struct step *)(data + 1);
    size_t most = steps_in(max_size), count = steps_in(size), at, n;
    unsigned int how;

    if ( !max_size )
        return 0;
    srand(seed);
    if ( !size )
        data[0] = rand();
    /* Any may be one that is not needed. */
    for ( ; count > most; count-- )
    {
        at = rand() % count;
        memmove(&steps[at], &steps[at + 1], (count - at - 1) * STEP);
    }
    at = count ? rand() % count : 0;
    n = 1 + rand() % 4;
    how = count ? rand() % 10 : 0;

    switch ( how )
    {
    case 0:
    case 1: /* random ones put in */
        if ( count + n > most )
            n = most - count;
        make_room(steps, count, at, n);
        differ_steps((uint64_t)seed << 32 | rand(), &steps[at], n);
        count += n;
        break;
    case 2:
    case 3: /* left out */
        if ( n > count - at )
            n = count - at;
        memmove(&steps[at], &steps[at + n], (count - at - n) * STEP);
        count -= n;
        break;
    case 4: /* again, elsewhere */
        if ( n > count - at )
            n = count - at;
        if ( n > most - count )
            n = most - count;
        if ( n )
        {
            struct step again[4];
            size_t to = rand() % (count + 1);

            memcpy(again, &steps[at], n * STEP);
            make_room(steps, count, to, n);
            memcpy(&steps[to], again, n * STEP);
            count += n;
        }
        break;
    case 5: /* another machine */
        data[0] = rand();
        break;
    case 6: /* a field as another step has it */
        n = rand() % STEP;
        ((uint8_t *)&steps[at])[n] = ((uint8_t *)&steps[rand() % count])[n];
        break;
    case 7: /* a field */
        ((uint8_t *)&steps[at])[rand() % STEP] = rand();
        break;
    default:
        LLVMFuzzerMutate((uint8_t *)&steps[at], STEP, STEP);
        break;
    }
    return 1 + count * STEP;
}

/* The beginning of one, then the end of another. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t max_size, unsigned int seed)
{
    size_t most = steps_in(max_size), head, from, tail;

    if ( !a_size || !max_size )
        return 0;
    srand(seed);
    head = rand() % (steps_in(a_size) + 1);
    from = rand() % (steps_in(b_size) + 1);
    if ( head > most )
        head = most;
    tail = steps_in(b_size) - from;
    if ( tail > most - head )
        tail = most - head;
    out[0] = a[0];
    if ( head )
        memcpy(out + 1, a + 1, head * STEP);
    if ( tail )
        memcpy(out + 1 + head * STEP, b + 1 + from * STEP, tail * STEP);
    return 1 + (head + tail) * STEP;
}
