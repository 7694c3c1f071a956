/* The mapper: a guest kernel that only executes the steps that dom0 sends. */
#ifndef MAPPER_GUEST_H
#define MAPPER_GUEST_H

#include <stdint.h>

#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/io/console.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#include "mailbox.h"

#define PAGE 4096ul

/* Functions that differ between PV and PVH guests. */
struct kind {
    /* Returns the machine frame (PV) or the guest frame (PVH) of an own page. */
    uint64_t (*frame)(const void *page);
    /* PV: makes page tables for an address; returns the machine address of its entry. PVH: 0. */
    uint64_t (*reach)(uint64_t address);
    /* Maps frame `index` of the own grant table at `address`; returns 0 or an error. */
    int64_t (*grant_frame)(unsigned int index, uint64_t address);
    /* Starts vCPU 1, which occupies a CPU and its TLB; returns 0 or an error. */
    int64_t (*second_vcpu)(void);
};

/* steps.c: never returns. */
void serve(const struct kind *kind, struct xencons_interface *console, uint32_t port)
    __attribute__((noreturn));

/* loops.c: repeated operations, counted in the mailbox. */
int64_t hold(struct mailbox *mailbox, const uint64_t *arg);
int64_t map_loop(struct mailbox *mailbox, const uint64_t *arg);
int64_t version_loop(struct mailbox *mailbox, const uint64_t *arg);
int64_t sweep(struct mailbox *mailbox, const uint64_t *arg);

/* console.c */
void console_open(struct xencons_interface *console, uint32_t port);
void say(const char *text);
void say_number(const char *text, uint64_t number);
void end(unsigned int reason) __attribute__((noreturn));

/* entry.S: return 0, or -1 if the access faulted. */
int probe_read(uint64_t address, uint64_t *value);
int probe_write(uint64_t address, uint64_t value);
extern char hypercall_page[], pv_fault[], pvh_fault[], second_vcpu[], level4[];

static inline int64_t hypercall(unsigned int number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                uint64_t e)
{
    register uint64_t r10 __asm__("r10") = d, r8 __asm__("r8") = e;
    int64_t result;

    __asm__ volatile("call *%[entry]"
                     : "=a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
                     : [entry] "r"(hypercall_page + number * 32)
                     : "rcx", "r11", "memory");
    return result;
}

static inline int64_t grant_op(unsigned int command, void *ops, unsigned int count)
{
    return hypercall(__HYPERVISOR_grant_table_op, command, (uint64_t)ops, count, 0, 0);
}

/* Starts vCPU 1 with a context of the kind of guest; returns 0 or an error. */
static inline int64_t start_second_vcpu(void *context)
{
    int64_t result = hypercall(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, (uint64_t)context, 0, 0);

    return result ? result : hypercall(__HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0, 0, 0);
}

#endif
