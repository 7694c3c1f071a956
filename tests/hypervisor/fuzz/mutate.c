/* Mutations of whole steps: inserting or removing bytes would change all following steps. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../differential/differential.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t max_size, unsigned int seed);

enum { STEP = sizeof(struct step) };

static size_t steps_in(size_t size)
{
    return size ? (size - 1) / STEP : 0;
}

/* Open a gap of @n steps before step @at. */
static void make_room(struct step *steps, size_t count, size_t at, size_t n)
{
    memmove(&steps[at + n], &steps[at], (count - at) * STEP);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    struct step *steps = (struct step *)(data + 1);
    size_t max_steps = steps_in(max_size), count = steps_in(size), at, n;
    unsigned int how;

    if ( !max_size )
        return 0;
    srand(seed);
    if ( !size )
        data[0] = rand();
    /* Shorten the input by removing random steps. */
    for ( ; count > max_steps; count-- )
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
    case 1: /* insert random steps */
        if ( count + n > max_steps )
            n = max_steps - count;
        make_room(steps, count, at, n);
        differ_steps((uint64_t)seed << 32 | rand(), &steps[at], n);
        count += n;
        break;
    case 2:
    case 3: /* remove steps */
        if ( n > count - at )
            n = count - at;
        memmove(&steps[at], &steps[at + n], (count - at - n) * STEP);
        count -= n;
        break;
    case 4: /* copy steps to another position */
        if ( n > count - at )
            n = count - at;
        if ( n > max_steps - count )
            n = max_steps - count;
        if ( n )
        {
            struct step copy[4];
            size_t to = rand() % (count + 1);

            memcpy(copy, &steps[at], n * STEP);
            make_room(steps, count, to, n);
            memcpy(&steps[to], copy, n * STEP);
            count += n;
        }
        break;
    case 5: /* change the setting */
        data[0] = rand();
        break;
    case 6: /* copy a field from another step */
        n = rand() % STEP;
        ((uint8_t *)&steps[at])[n] = ((uint8_t *)&steps[rand() % count])[n];
        break;
    case 7: /* randomise a field */
        ((uint8_t *)&steps[at])[rand() % STEP] = rand();
        break;
    default:
        LLVMFuzzerMutate((uint8_t *)&steps[at], STEP, STEP);
        break;
    }
    return 1 + count * STEP;
}

/* Concatenate the beginning of one input and the end of another. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t max_size, unsigned int seed)
{
    size_t max_steps = steps_in(max_size), head, from, tail;

    if ( !a_size || !max_size )
        return 0;
    srand(seed);
    head = rand() % (steps_in(a_size) + 1);
    from = rand() % (steps_in(b_size) + 1);
    if ( head > max_steps )
        head = max_steps;
    tail = steps_in(b_size) - from;
    if ( tail > max_steps - head )
        tail = max_steps - head;
    out[0] = a[0];
    if ( head )
        memcpy(out + 1, a + 1, head * STEP);
    if ( tail )
        memcpy(out + 1 + head * STEP, b + 1 + from * STEP, tail * STEP);
    return 1 + (head + tail) * STEP;
}
