/*
 * The entry points of PV and PVH guests, and memory accesses that may fault.
 *
 * A PV guest starts in 64-bit mode on the page tables of the domain builder. A PVH
 * guest starts in 32-bit mode without paging, so this file contains its page tables,
 * which identity-map the first 4 GiB.
 */
#include <xen/elfnote.h>

    .macro note type, desc:vararg
    .pushsection .note.Xen, "a", @note
    .balign 4
    .long 4, 2f - 1f, \type
    .asciz "Xen"
1:  \desc
2:  .balign 4
    .popsection
    .endm

    note XEN_ELFNOTE_GUEST_OS, .asciz "xengt-mapper"
    note XEN_ELFNOTE_LOADER, .asciz "generic"
    note XEN_ELFNOTE_XEN_VERSION, .asciz "xen-3.0"
    note XEN_ELFNOTE_VIRT_BASE, .quad 0
    note XEN_ELFNOTE_PADDR_OFFSET, .quad 0
    note XEN_ELFNOTE_ENTRY, .quad pv_start
    note XEN_ELFNOTE_HYPERCALL_PAGE, .quad hypercall_page
    note XEN_ELFNOTE_PHYS32_ENTRY, .long pvh_start

    .text
    .code64
    .globl pv_start
pv_start:
    cld
    mov $stack_end, %rsp
    mov %rsi, %rdi
    call pv_main
    ud2

    .code32
    .globl pvh_start
pvh_start:
    cld
    lgdt gdt_register
    mov $0x20, %eax                 /* CR4.PAE */
    mov %eax, %cr4
    mov $level4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx           /* EFER.LME */
    rdmsr
    or $0x100, %eax
    wrmsr
    mov $0x80000011, %eax           /* CR0.PG, ET, PE */
    mov %eax, %cr0
    ljmp $0x8, $1f
    .code64
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $stack_end, %rsp
    call pvh_main
    ud2

/* vCPU 1, which starts in 64-bit mode and needs no stack. */
    .globl second_vcpu
second_vcpu:
    pause
    jmp second_vcpu

/*
 * int probe_read(uint64_t address, uint64_t *value)
 * int probe_write(uint64_t address, uint64_t value)
 *
 * Return 0, or -1 if the access faulted.
 */
    .globl probe_read, probe_write
probe_read:
    mov (%rdi), %rax
    mov %rax, (%rsi)
    xor %eax, %eax
    ret
probe_write:
    mov %rsi, (%rdi)
    xor %eax, %eax
    ret
probes_end:
    nop

/* For a PV guest, Xen pushes rcx and r11 on top of the processor's exception frame. */
    .globl pv_fault, pvh_fault
pv_fault:
    pop %rcx
    pop %r11
/* error code, rip, cs, rflags, rsp, ss */
pvh_fault:
    mov 8(%rsp), %rdi
    cmp $probe_read, %rdi
    jb 1f
    cmp $probes_end, %rdi
    jae 1f
    mov 32(%rsp), %rsp              /* discard the exception frame */
    mov $-1, %eax
    ret
1:  call stray_fault

    .data
    .balign 4096
    .globl hypercall_page
hypercall_page:
    .skip 4096
    .globl level4
level4:
    .quad level3 + 0x3
    .balign 4096
level3:
    .quad level2 + 0x3, level2 + 0x1003, level2 + 0x2003, level2 + 0x3003
    .balign 4096
level2:
    .set frame, 0
    .rept 4 * 512
    .quad frame + 0x83              /* 2 MiB, writable, present */
    .set frame, frame + 0x200000
    .endr
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_register:
    .word 23
    .long gdt

    .bss
    .balign 16
    .skip 16384
stack_end:

    .section .note.GNU-stack, "", @progbits
