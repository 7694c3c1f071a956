/* A PV guest: machine frames, and page table entries that Xen validates. */
#include "guest.h"

#define POOL_PAGES 64
#define PRESENT 1ull
#define TABLE 7ull /* present, writable, user: a PV kernel does not run in ring 0 */
#define FRAME_MASK 0x000ffffffffff000ull

static uint8_t pool[POOL_PAGES][PAGE] __attribute__((aligned(4096)));
static unsigned int pool_used;
static const struct start_info *start;

static const uint64_t *const frame_to_page = (const uint64_t *)MACH2PHYS_VIRT_START;

void pv_main(const struct start_info *info) __attribute__((noreturn));

/* The domain builder maps memory from address 0 on, so page numbers are pseudo-physical. */
static uint64_t pv_frame(const void *page)
{
    return ((const uint64_t *)start->mfn_list)[(uint64_t)page / PAGE];
}

static void *page_of(uint64_t frame)
{
    return (void *)(frame_to_page[frame] * PAGE);
}

/* Takes a zeroed page of the pool and makes it read-only, as Xen requires of page tables. */
static uint64_t new_table(void)
{
    uint8_t *page = pool[pool_used++];
    uint64_t frame = pv_frame(page);

    if (pool_used > POOL_PAGES || hypercall(__HYPERVISOR_update_va_mapping, (uint64_t)page,
                                            frame * PAGE | 0x5, UVMF_INVLPG, 0, 0)) {
        say("mapper: cannot allocate a page table\n");
        end(SHUTDOWN_crash);
    }
    return frame;
}

static uint64_t pv_reach(uint64_t address)
{
    const uint64_t *table = (const uint64_t *)start->pt_base;

    for (int shift = 39;; shift -= 9) {
        unsigned int index = address >> shift & 511;
        uint64_t entry = pv_frame(table) * PAGE + index * 8;

        if (shift == 12)
            return entry;
        if (!(table[index] & PRESENT)) {
            mmu_update_t update = { .ptr = entry, .val = new_table() * PAGE | TABLE };

            if (hypercall(__HYPERVISOR_mmu_update, (uint64_t)&update, 1, 0, DOMID_SELF, 0)) {
                say("mapper: Xen refused a page table\n");
                end(SHUTDOWN_crash);
            }
        }
        table = page_of((table[index] & FRAME_MASK) / PAGE);
    }
}

static int64_t pv_grant_frame(unsigned int index, uint64_t address)
{
    static xen_pfn_t frames[64];
    struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = index + 1 };
    int64_t result;

    set_xen_guest_handle(setup.frame_list, frames);
    result = grant_op(GNTTABOP_setup_table, &setup, 1);
    if (result || setup.status)
        return result ? result : setup.status;
    pv_reach(address);
    return hypercall(__HYPERVISOR_update_va_mapping, address, frames[index] * PAGE | TABLE,
                     UVMF_INVLPG, 0, 0);
}

static int64_t pv_second_vcpu(void)
{
    static struct vcpu_guest_context context = {
        .flags = VGCF_in_kernel,
        .user_regs = { .cs = FLAT_KERNEL_CS, .ss = FLAT_KERNEL_SS },
        .kernel_ss = FLAT_KERNEL_SS,
    };
    uint64_t level4_frame = pv_frame((const void *)start->pt_base);

    context.user_regs.rip = (uint64_t)second_vcpu;
    context.ctrlreg[3] = xen_pfn_to_cr3(level4_frame);
    return start_second_vcpu(&context);
}

void pv_main(const struct start_info *info)
{
    static const struct kind kind = { .frame = pv_frame,
                                      .reach = pv_reach,
                                      .grant_frame = pv_grant_frame,
                                      .second_vcpu = pv_second_vcpu };
    static struct trap_info traps[] = {
        { .vector = 13, .cs = FLAT_KERNEL_CS, .address = (unsigned long)pv_fault },
        { .vector = 14, .cs = FLAT_KERNEL_CS, .address = (unsigned long)pv_fault },
        { .vector = 0 },
    };

    start = info;
    hypercall(__HYPERVISOR_set_trap_table, (uint64_t)traps, 0, 0, 0, 0);
    serve(&kind, page_of(info->console.domU.mfn), info->console.domU.evtchn);
}
