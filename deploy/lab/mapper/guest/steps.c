/* Waits for lists of steps in the mailbox, and executes them. */
#include "guest.h"

static union {
    struct mailbox mailbox;
    uint8_t pages[ARENA_PAGES][PAGE];
} arena __attribute__((aligned(4096)));

static const struct kind *own_kind;

static int64_t execute(const struct step *step)
{
    const uint64_t *arg = step->arg;
    uint64_t value;

    switch (step->verb) {
    case HYPERCALL:
        return hypercall(arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
    case READ:
        return probe_read(arg[0], &value) ? FAULTED : (int64_t)value;
    case WRITE:
        return probe_write(arg[0], arg[1]) ? FAULTED : 0;
    case REACH:
        return own_kind->reach(arg[0]);
    case HOLD:
        return hold(&arena.mailbox, arg);
    case MAP_LOOP:
        return map_loop(&arena.mailbox, arg);
    case VERSION_LOOP:
        return version_loop(&arena.mailbox, arg);
    case SWEEP:
        return sweep(&arena.mailbox, arg);
    case GRANT_FRAMES:
        for (unsigned int i = 0; i < arg[1]; i++)
            if (own_kind->grant_frame(i, arg[0] + i * PAGE))
                return -1;
        return 0;
    case END:
        end(arg[0]);
    case SECOND_VCPU:
        return own_kind->second_vcpu();
    }
    return -1;
}

static struct vcpu_time_info clock;

/*
 * System time in ns, computed from the values that Xen stores whenever it schedules
 * this vCPU. It changes the version if it updates them during the computation.
 */
static uint64_t now(void)
{
    const volatile struct vcpu_time_info *stored = &clock;
    uint32_t version, low, high;
    uint64_t ticks, time;

    do {
        version = stored->version;
        __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
        ticks = ((uint64_t)high << 32 | low) - stored->tsc_timestamp;
        ticks = stored->tsc_shift < 0 ? ticks >> -stored->tsc_shift : ticks << stored->tsc_shift;
        time = stored->system_time +
               (uint64_t)((__uint128_t)ticks * stored->tsc_to_system_mul >> 32);
    } while (version & 1 || version != stored->version);
    return time;
}

static void clock_open(void)
{
    struct vcpu_register_time_memory_area area = { .addr.p = (uint64_t)&clock };

    hypercall(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, (uint64_t)&area, 0,
              0);
}

/* Polls frequently while dom0 sends steps, and every millisecond while it is idle. */
static void wait(unsigned int idle)
{
    struct sched_poll poll = { .timeout = now() + 1000000 };

    if (idle < 100)
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0);
    else
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, (uint64_t)&poll, 0, 0, 0);
}

void serve(const struct kind *kind, struct xencons_interface *console, uint32_t port)
{
    struct mailbox *mailbox = &arena.mailbox;
    volatile uint64_t *beacon = (void *)((uint8_t *)console + BEACON_OFFSET);
    unsigned int idle = 0;

    own_kind = kind;
    clock_open();
    console_open(console, port);
    mailbox->address = (uint64_t)mailbox;
    mailbox->pv = kind->reach((uint64_t)mailbox) != 0;
    for (unsigned int i = 0; i < ARENA_PAGES; i++)
        mailbox->frame[i] = kind->frame(arena.pages[i]);
    beacon[1] = mailbox->frame[0];
    __asm__ volatile("" ::: "memory");
    beacon[0] = BEACON_MAGIC;
    say("mapper: waiting for steps\n");

    for (;;) {
        uint32_t requested = *(volatile uint32_t *)&mailbox->requested;
        struct step *steps = (void *)((uint8_t *)mailbox + STEPS_OFFSET);

        if (requested == mailbox->done) {
            wait(++idle);
            continue;
        }
        idle = 0;
        __asm__ volatile("" ::: "memory");
        for (uint32_t i = 0; i < mailbox->steps && i < STEPS_MAX; i++)
            steps[i].result = execute(&steps[i]);
        __asm__ volatile("" ::: "memory");
        *(volatile uint32_t *)&mailbox->done = requested;
    }
}
