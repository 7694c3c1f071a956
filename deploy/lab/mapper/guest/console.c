/* Output on the guest's console, and shutdown. */
#include "guest.h"

static struct xencons_interface *ring;
static uint32_t ring_port;

void console_open(struct xencons_interface *console, uint32_t port)
{
    ring = console;
    ring_port = port;
}

void say(const char *text)
{
    struct evtchn_send notify = { .port = ring_port };

    for (; *text; text++) {
        /* Drop the rest if the ring is full: there may be no reader to wait for. */
        if (ring->out_prod - *(volatile XENCONS_RING_IDX *)&ring->out_cons >= sizeof(ring->out))
            break;
        ring->out[MASK_XENCONS_IDX(ring->out_prod, ring->out)] = *text;
        __asm__ volatile("" ::: "memory");
        ring->out_prod++;
    }
    hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (uint64_t)&notify, 0, 0, 0);
}

void say_number(const char *text, uint64_t number)
{
    char digits[20] = "";

    for (int i = 0; i < 16; i++)
        digits[i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
    digits[16] = '\n';
    say(text);
    say(digits);
}

void end(unsigned int reason)
{
    struct sched_shutdown shutdown = { .reason = reason };

    for (;;)
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uint64_t)&shutdown, 0, 0, 0);
}

/* Called by entry.S for a fault outside the probes. */
void stray_fault(uint64_t rip) __attribute__((noreturn));
void stray_fault(uint64_t rip)
{
    say_number("mapper: fault at ", rip);
    end(SHUTDOWN_crash);
}
