/* Sets up pages, exceptions and a task state, runs the tests, and ends the machine. */
#include "guest.h"

#define DEBUG_PORT 0xe9
#define EXIT_PORT 0xf4
#define PRESENT 1
#define WRITE 2
#define USER 4

struct gate {
    uint16_t low, selector, flags, middle;
    uint32_t high, zero;
};

volatile uint64_t seen_vector, seen_error, seen_rip, seen_cr2, resume_rip, resume_rsp, tried_rip;
extern uint64_t directories[], gdt_tss[2];
extern char on_ud[], on_gp[], on_pf[];
void main_c(void);

static struct gate idt[32];
static uint64_t pages[512] __attribute__((aligned(4096)));
static uint32_t tss[26];
static uint8_t fault_stack[8192] __attribute__((aligned(16)));
static unsigned count;

void say(const char *text)
{
    while (*text != '\0') {
        out8(DEBUG_PORT, (uint8_t)*text++);
    }
}

static void say_hex(uint64_t value)
{
    for (int shift = 60; shift >= 0; shift -= 4) {
        out8(DEBUG_PORT, (uint8_t)"0123456789abcdef"[value >> shift & 15]);
    }
}

void check(const char *name, bool good)
{
    count++;
    say(good ? "ok " : "FAIL ");
    say(name);
    if (!good) {
        say(" vector ");
        say_hex(seen_vector);
        say(" error ");
        say_hex(seen_error);
        say(" cr2 ");
        say_hex(seen_cr2);
    }
    say("\n");
}

static void set_gate(unsigned vector, const char *handler)
{
    uint64_t at = (uint64_t)handler;

    idt[vector] = (struct gate){.low = (uint16_t)at, .selector = 0x18, .flags = 0x8e00, .middle = (uint16_t)(at >> 16),
                                .high = (uint32_t)(at >> 32)};
}

static void set_up_exceptions(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {sizeof(idt) - 1, (uint64_t)idt};
    uint64_t base = (uint64_t)tss, stack = (uint64_t)fault_stack + sizeof(fault_stack);

    set_gate(UD, on_ud);
    set_gate(GP, on_gp);
    set_gate(PF, on_pf);
    __asm__ volatile("lidt %0" : : "m"(pointer));
    tss[1] = (uint32_t)stack;
    tss[2] = (uint32_t)(stack >> 32);
    gdt_tss[0] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt_tss[1] = base >> 32;
    __asm__ volatile("ltr %w0" : : "r"(0x38));
}

static void set_up_pages(void)
{
    for (uint64_t i = 0; i < 512; i++) {
        pages[i] = (PAGES + i * 4096) | PRESENT | WRITE | USER;
    }
    pages[(PAGE_ABSENT - PAGES) / 4096] = 0;
    pages[(PAGE_READ_ONLY - PAGES) / 4096] &= ~(uint64_t)WRITE;
    pages[(PAGE_SUPERVISOR - PAGES) / 4096] &= ~(uint64_t)USER;
    directories[PAGES / 0x200000] = (uint64_t)pages | PRESENT | WRITE | USER;
    __asm__ volatile("movq %%cr3, %%rax\n\tmovq %%rax, %%cr3" : : : "rax", "memory");
}

static uint32_t features(void)
{
    uint32_t a = 7, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return c;
}

static void tests(void)
{
    uint32_t able = features();

    check("cpuid_movdiri", (able >> 27 & 1) != 0);
    check("cpuid_movdir64b", (able >> 28 & 1) != 0);
    if ((able >> 27 & 3) != 3) {
        TRY("movdir64b (%%rsi), %%rdi", PAGE_GOOD, PAGE_GOOD_2);
        check("movdir64b_without_its_cpuid_bit_is_ud", seen_vector == UD);
        TRY("movdiri %%rsi, (%%rdi)", PAGE_GOOD, 0);
        check("movdiri_without_its_cpuid_bit_is_ud", seen_vector == UD);
        return;
    }
    memory_tests();
    fault_tests();
    encoding_tests();
    device_tests();
    race_tests();
}

void main_c(void)
{
    set_up_exceptions();
    set_up_pages();
    tests();
    say("done ");
    say_hex(count);
    say("\n");
    out32(EXIT_PORT, 0);
}
