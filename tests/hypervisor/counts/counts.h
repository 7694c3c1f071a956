/* Shared by main.c and heap.c. */
#ifndef COUNTS_H
#define COUNTS_H

enum { LINE = 64, HEAP_SIZE = 64 << 20 };

extern char heap[HEAP_SIZE];

#endif
