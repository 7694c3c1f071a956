/*
 * x86 memory model (TSO): each CPU has a buffer of stores, in order, which only that CPU sees.
 * Loads are in order.  Locked operations and fences wait until the buffer is empty.  smp_wmb() and
 * smp_rmb() are therefore the order of a model's steps, which variants swap; smp_mb() is fence().
 *
 * Define before including: CPUS, WORDS, and STORED(word, value), run when a store becomes visible.
 */
/* Not reformatted: this is Promela, not C. */
/* clang-format off */
#define DEPTH 2 /* size of a buffer; a third store waits */

byte memory[WORDS];
byte waiting[CPUS];
byte word0[CPUS], word1[CPUS], value0[CPUS], value1[CPUS];

#define load(cpu, word) \
    ((waiting[cpu] == 2 && word1[cpu] == (word)) -> value1[cpu] : \
     ((waiting[cpu] >= 1 && word0[cpu] == (word)) -> value0[cpu] : memory[word]))

inline store(cpu, word, value)
{
    d_step {
        waiting[cpu] < DEPTH ->
        if
        :: waiting[cpu] == 0 -> word0[cpu] = word; value0[cpu] = value
        :: else -> word1[cpu] = word; value1[cpu] = value
        fi;
        waiting[cpu]++
    }
}

#define drained(cpu) (waiting[cpu] == 0)

inline fence(cpu)
{
    drained(cpu)
}

/* The first processes, so that the process number is the CPU number. */
active [CPUS] proctype buffer()
{
end:
    do
    :: d_step {
        waiting[_pid] > 0 ->
        STORED(word0[_pid], value0[_pid]);
        memory[word0[_pid]] = value0[_pid];
        waiting[_pid]--;
        word0[_pid] = word1[_pid];
        value0[_pid] = value1[_pid];
        word1[_pid] = 0;
        value1[_pid] = 0
    }
    od
}

/* spinlock.c: a ticket lock.  Taking a ticket is a locked operation, releasing the lock a store. */
#define HEAD(lock) (lock)
#define TAIL(lock) ((lock) + 1)

inline spin_lock(cpu, lock, ticket)
{
    atomic {
        drained(cpu) -> ticket = memory[TAIL(lock)];
        memory[TAIL(lock)] = ticket + 1
    }
    load(cpu, HEAD(lock)) == ticket
}

inline spin_unlock(cpu, lock, ticket)
{
    store(cpu, HEAD(lock), ticket + 1)
}
