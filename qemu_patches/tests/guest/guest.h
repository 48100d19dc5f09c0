/* What the parts of the instruction test share. Reports are lines on the debug port: "ok NAME" or "FAIL NAME ...". */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stdint.h>

#define UD 6
#define GP 13
#define PF 14

/* Page tables: the 2 MiB at PAGES are mapped by 4 KiB pages, one to one, with the rights that follow. */
#define PAGES 0x01000000ul
#define PAGE_GOOD (PAGES + 0x0000)
#define PAGE_GOOD_2 (PAGES + 0x1000)
#define PAGE_ABSENT (PAGES + 0x2000)
#define PAGE_READ_ONLY (PAGES + 0x3000)
#define PAGE_SUPERVISOR (PAGES + 0x4000)

extern volatile uint64_t seen_vector, seen_error, seen_rip, seen_cr2, resume_rip, resume_rsp;

void say(const char *text);
void check(const char *name, bool good);
uint64_t edu_bar(void);
void start_second_cpu(void);
void memory_tests(void);
void fault_tests(void);
void encoding_tests(void);
void device_tests(void);
void race_tests(void);
void run_race(uint64_t portal, uint64_t id);

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static inline void movdir64b(uint64_t to, const volatile void *from)
{
    __asm__ volatile("movdir64b (%1), %0" : : "r"(to), "r"(from) : "memory");
}

/*
 * Runs one instruction that may fault, with D in rdi and S in rsi. seen_vector is 0 if it did not; else seen_* tell, and
 * seen_rip is where it began if tried_rip is equal.
 */
extern volatile uint64_t tried_rip;
#define TRY(insn, d, s)                                                                                                \
    do {                                                                                                               \
        seen_vector = 0;                                                                                               \
        __asm__ volatile("movq %%rsp, resume_rsp\n\t"                                                                  \
                         "leaq 2f(%%rip), %%rax\n\t"                                                                   \
                         "movq %%rax, resume_rip\n\t"                                                                  \
                         "leaq 1f(%%rip), %%rax\n\t"                                                                   \
                         "movq %%rax, tried_rip\n"                                                                     \
                         "1:\t" insn "\n"                                                                              \
                         "2:"                                                                                          \
                         :                                                                                             \
                         : "D"((uint64_t)(d)), "S"((uint64_t)(s))                                                      \
                         : "rax", "memory", "cc");                                                                     \
    } while (0)

#endif
