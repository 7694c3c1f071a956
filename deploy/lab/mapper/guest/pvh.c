/* A PVH guest: identity-mapped guest frames, which Xen translates. */
#include "guest.h"

#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/params.h>

struct gate {
    uint16_t low, selector, type, middle;
    uint32_t high, zero;
} __attribute__((packed));

void pvh_main(void) __attribute__((noreturn));

static uint64_t pvh_frame(const void *page)
{
    return (uint64_t)page / PAGE;
}

static uint64_t pvh_reach(uint64_t address)
{
    (void)address;
    return 0;
}

static int64_t pvh_grant_frame(unsigned int index, uint64_t address)
{
    struct xen_add_to_physmap add = {
        .domid = DOMID_SELF,
        .space = XENMAPSPACE_grant_table,
        .idx = index,
        .gpfn = address / PAGE,
    };

    return hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uint64_t)&add, 0, 0, 0);
}

static int64_t pvh_second_vcpu(void)
{
    struct vcpu_hvm_context context = {
        .mode = VCPU_HVM_MODE_64B,
        .cpu_regs.x86_64 = { .rip = (uint64_t)second_vcpu,
                             .cr0 = 0x80000011, /* as in entry.S */
                             .cr3 = (uint64_t)level4,
                             .cr4 = 0x20,
                             .efer = 0x500 }, /* LME, LMA */
    };

    return start_second_vcpu(&context);
}

static uint64_t parameter(uint32_t index)
{
    struct xen_hvm_param param = { .domid = DOMID_SELF, .index = index };

    hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (uint64_t)&param, 0, 0, 0);
    return param.value;
}

static void cpuid(uint32_t leaf, uint32_t *b, uint32_t *c)
{
    uint32_t a = leaf, d;

    *c = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(*b), "+c"(*c), "=d"(d));
}

/* Finds Xen's CPUID leaves; leaf base + 2 returns the MSR that installs the hypercall page. */
static void enable_hypercalls(void)
{
    uint32_t base = 0x40000000, msr, b, c;

    for (cpuid(base, &b, &c); b != 0x566e6558; cpuid(base, &b, &c))
        base += 0x100; /* "XenV" */
    cpuid(base + 2, &msr, &c);
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)(uint64_t)hypercall_page), "d"(0)
                     : "memory");
}

static void install_fault_handlers(void)
{
    static struct gate gates[15];
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = { sizeof(gates) - 1, (uint64_t)gates };

    for (int vector = 13; vector <= 14; vector++)
        gates[vector] = (struct gate){
            .low = (uint64_t)pvh_fault,
            .selector = 8,
            .type = 0x8e00,
            .middle = (uint64_t)pvh_fault >> 16,
        };
    __asm__ volatile("lidt %0" ::"m"(table));
}

void pvh_main(void)
{
    static const struct kind kind = { .frame = pvh_frame,
                                      .reach = pvh_reach,
                                      .grant_frame = pvh_grant_frame,
                                      .second_vcpu = pvh_second_vcpu };

    install_fault_handlers();
    enable_hypercalls();
    serve(&kind, (void *)(parameter(HVM_PARAM_CONSOLE_PFN) * PAGE),
          parameter(HVM_PARAM_CONSOLE_EVTCHN));
}
