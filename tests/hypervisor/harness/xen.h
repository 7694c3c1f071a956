/*
 * Types, macros and functions that Xen's files get from their #include lines, which are removed.
 * Domains, memory and page tables are in the other files of this directory.
 */
/* Not reformatted: most of it is one-line macros. */
/* clang-format off */
#ifndef XEN_H
#define XEN_H

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_X86 1
#define CONFIG_PV 1
#define CONFIG_HVM 1
#define CONFIG_GRANT_TABLE 1

/* Xen's public headers, as for the tools. */
#define __XEN_TOOLS__ 1
#include <public/xen.h>
#include <public/domctl.h>
#include <public/grant_table.h>
#include <public/memory.h>

#define ERESTART 85

/* compiler.h */
#define always_inline inline __attribute__((always_inline))
#define noinline __attribute__((noinline))
#define __must_check __attribute__((warn_unused_result))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define cf_check
#define __init
#define __initdata
#define __read_mostly
#define __ro_after_init

/* A crash of the host aborts the program. */
static __attribute__((noreturn, cold)) void crash_host(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}
#define BUG() crash_host("BUG", __FILE__, __LINE__)
#define BUG_ON(p) do { if ( unlikely(p) ) crash_host("BUG_ON: " #p, __FILE__, __LINE__); } while (0)
#ifdef NDEBUG
#define ASSERT(p) do { if ( 0 && (p) ) {} } while (0)
#define ASSERT_UNREACHABLE() do { } while (0)
#else
#define ASSERT(p) \
    do { if ( unlikely(!(p)) ) crash_host("ASSERT: " #p, __FILE__, __LINE__); } while (0)
#define ASSERT_UNREACHABLE() crash_host("ASSERT_UNREACHABLE", __FILE__, __LINE__)
#endif
#define BUILD_BUG_ON(c) ({ _Static_assert(!(c), #c); })

/* lib.h, macros.h, bitops.h, err.h */
#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define BITS_PER_LONG 64
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define IS_ALIGNED(value, to) (!((value) & ((to) - 1)))
#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))
#define MASK_EXTR(v, m) (((v) & (m)) / ((m) & -(m)))
#define MASK_INSR(v, m) (((v) * ((m) & -(m))) & (m))
#define min_t(type, a, b) ({ type a_ = (a), b_ = (b); a_ < b_ ? a_ : b_; })
#define min(a, b) min_t(__typeof__(a), a, b)
#define max(a, b) ({ __typeof__(a) a_ = (a), b_ = (b); a_ > b_ ? a_ : b_; })
#define fls64(x) ({ uint64_t x_ = (x); x_ ? 64 - __builtin_clzl(x_) : 0; })
#define IS_ERR_OR_NULL(p) (!(p) || (unsigned long)(p) >= -4095UL)
#define PTR_ERR(p) ((long)(p))
#define ERR_PTR(e) ((void *)(long)(e))
#define test_bit(n, p) \
    (!!(__atomic_load_n((unsigned long *)(p) + (n) / 64, __ATOMIC_RELAXED) >> ((n) % 64) & 1))
#define set_bit(n, p) \
    ((void)__atomic_fetch_or((unsigned long *)(p) + (n) / 64, 1UL << ((n) % 64), __ATOMIC_SEQ_CST))
#define __clear_bit(n, p) ((void)(((unsigned long *)(p))[(n) / 64] &= ~(1UL << ((n) % 64))))

static inline unsigned int find_first_bit(const unsigned long *map, unsigned int bits)
{
    for ( unsigned int word = 0; word < DIV_ROUND_UP(bits, BITS_PER_LONG); word++ )
        if ( map[word] )
        {
            unsigned int bit = word * BITS_PER_LONG + __builtin_ctzl(map[word]);

            return min(bit, bits);
        }
    return bits;
}

/* Messages are discarded; their arguments are compiled. */
#define XENLOG_ERR ""
#define XENLOG_WARNING ""
#define XENLOG_INFO ""
#define XENLOG_G_DEBUG ""
#define PRI_mfn "05lx"
#define PRI_dfn PRIx64
#define PRIpaddr "016lx"
#define PRIpte "016lx"
static inline void discard_message(const char *format, ...) {}
#define printk(...) discard_message(__VA_ARGS__)
#define gprintk(level, ...) discard_message(level __VA_ARGS__)
#define dprintk(level, ...) discard_message(level __VA_ARGS__)
#define gdprintk(level, ...) discard_message(level __VA_ARGS__)
#define TRACE_TIME(...) do { } while (0)

/* Boot options are set through struct hypervisor, not parsed. */
struct param_hypfs;
#define custom_param(name, function) \
    static int __attribute__((unused)) (*const option_##function)(const char *) = function
#define custom_runtime_param(name, function, init) custom_param(name, function)
#define param_2_parfs(function) NULL
#define simple_strtoul(s, e, base) strtoul(s, (char **)(e), base)
#define simple_strtol(s, e, base) strtol(s, (char **)(e), base)
static inline int parse_boolean(const char *name, const char *s, const char *e) { return -1; }
static inline int cmdline_strcmp(const char *frag, const char *name) { return strcmp(frag, name); }
#define __initcall(function) \
    static int __attribute__((unused)) (*const init_##function)(void) = function
#define presmp_initcall(function) __initcall(function)
#define EXPORT_SYMBOL(name) _Static_assert(true, #name)
#define register_keyhandler(key, function, what, diagnostic) ((void)(function))

/* typesafe.h */
#define TYPE_SAFE(name) \
    typedef struct { unsigned long frame; } name##_t; \
    static inline name##_t _##name(unsigned long n) { return (name##_t){ n }; } \
    static inline unsigned long name##_x(name##_t n) { return n.frame; } \
    static inline bool name##_eq(name##_t a, name##_t b) { return a.frame == b.frame; }
TYPE_SAFE(mfn)
TYPE_SAFE(gfn)
TYPE_SAFE(dfn)
#define INVALID_MFN (mfn_t){ ~0UL }
#define INVALID_GFN (gfn_t){ ~0UL }
#define INVALID_DFN (dfn_t){ ~0UL }
#define dfn_add(dfn, n) _dfn(dfn_x(dfn) + (n))
#define pfn_to_paddr(frame) ((paddr_t)(frame) << PAGE_SHIFT)
#define mfn_to_maddr(mfn) (mfn_x(mfn) << PAGE_SHIFT)
#define maddr_to_mfn(maddr) _mfn((maddr) >> PAGE_SHIFT)
typedef uint64_t paddr_t;

/*
 * guest_access.h: guest memory is the caller's memory; the page at NULL is inaccessible.  The subject
 * of an event is the end of what is accessed.
 */
#define guest_handle_cast(handle, type) ((XEN_GUEST_HANDLE(type)){ (void *)(handle).p })
#define guest_handle_okay(handle, nr) (((void)(nr)), true)
#define guest_handle_add_offset(handle, nr) ((handle).p += (nr))
/* Checked before pointer arithmetic, which is undefined on NULL. */
#define is_unreadable(p) ((unsigned long)(p) < PAGE_SIZE)
/* A call for each copy, as in Xen. */
static noinline unsigned long copy_guest(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    return 0;
}
#define copy_from_guest_offset(to, handle, offset, nr) \
    (is_unreadable((handle).p) || \
     report_event("copy from guest", (uintptr_t)((handle).p + (offset) + (nr))) \
     ? (nr) : copy_guest(to, (handle).p + (offset), sizeof(*(to)) * (nr)))
#define copy_to_guest_offset(handle, offset, from, nr) \
    (is_unreadable((handle).p) || \
     report_event("copy to guest", (uintptr_t)((handle).p + (offset) + (nr))) \
     ? (nr) : copy_guest((handle).p + (offset), from, sizeof(*(from)) * (nr)))
#define copy_from_guest(to, handle, nr) copy_from_guest_offset(to, handle, 0, nr)
#define copy_to_guest(handle, from, nr) copy_to_guest_offset(handle, 0, from, nr)
#define __copy_from_guest_offset copy_from_guest_offset
#define __copy_to_guest_offset copy_to_guest_offset
#define __copy_from_guest copy_from_guest
#define __copy_to_guest copy_to_guest
#define __copy_field_to_guest(handle, from, field) \
    (is_unreadable((handle).p) || \
     report_event("copy to guest", (uintptr_t)((handle).p + 1)) \
     ? 1 : ((handle).p->field = (from)->field, 0))
#define guest_cmpxchg(d, ptr, old, new) \
    ({ \
        __typeof__(*(ptr)) was_ = (old); \
        report_event("compare and exchange", (uintptr_t)(ptr)); \
        __atomic_compare_exchange_n(ptr, &was_, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
        was_; \
    })

/* xsm.h: permitted unless the event handler returns an error */
#define xsm_grant_mapref(...) report_event("XSM map", 0)
#define xsm_grant_unmapref(...) report_event("XSM unmap", 0)
#define xsm_grant_setup(...) 0
#define xsm_grant_query_size(...) 0
#define xsm_grant_copy(...) 0
#define xsm_grant_transfer(...) 0

#include "hypervisor.h"
#include "sync.h"
#include "machine.h"

#endif
