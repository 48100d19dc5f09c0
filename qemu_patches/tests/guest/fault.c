/* Faults: the right one, with the right error code and address, at the instruction, and nothing stored. */
#include "guest.h"

#define WAS_PRESENT 1
#define WAS_WRITE 2
#define WAS_USER 4
#define USER_CODE 0x33
#define USER_DATA 0x2b

static volatile uint8_t *const good = (uint8_t *)PAGE_GOOD;

static void paint(volatile uint8_t *at, uint8_t value)
{
    for (unsigned i = 0; i < 192; i++) {
        at[i] = value;
    }
}

static bool painted(const volatile uint8_t *at, uint8_t value)
{
    for (unsigned i = 0; i < 192; i++) {
        if (at[i] != value) {
            return false;
        }
    }
    return true;
}

static bool faulted(uint64_t vector, uint64_t error)
{
    return seen_vector == vector && seen_error == error && seen_rip == tried_rip;
}

static void misaligned_destination(void)
{
    bool right = true;

    paint(good, 0xaa);
    for (uint64_t off = 1; off < 64; off++) {
        TRY("movdir64b (%%rsi), %%rdi", good + 64 + off, good + 512);
        right = right && faulted(GP, 0);
    }
    check("misaligned_destination_is_gp", right);
    check("misaligned_destination_stores_nothing", painted(good, 0xaa));
}

static void destinations(void)
{
    TRY("movdir64b (%%rsi), %%rdi", PAGE_ABSENT + 128, good);
    check("absent_destination_is_pf", faulted(PF, WAS_WRITE) && seen_cr2 == PAGE_ABSENT + 128);
    TRY("movdir64b (%%rsi), %%rdi", PAGE_READ_ONLY + 64, good);
    check("read_only_destination_is_pf", faulted(PF, WAS_PRESENT | WAS_WRITE) && seen_cr2 == PAGE_READ_ONLY + 64);
    check("read_only_destination_stores_nothing", *(volatile uint64_t *)(PAGE_READ_ONLY + 64) == 0);
    TRY("movdir64b (%%rsi), %%rdi", 0x800000000000ull, good);
    check("non_canonical_destination_is_gp", faulted(GP, 0));
    TRY("movdiri %%rsi, (%%rdi)", PAGE_ABSENT + 8, 5);
    check("movdiri_absent_destination_is_pf", faulted(PF, WAS_WRITE) && seen_cr2 == PAGE_ABSENT + 8);
    TRY("movdiri %%rsi, (%%rdi)", good + 1, 5);
    check("movdiri_may_be_unaligned", seen_vector == 0);
}

static void sources(void)
{
    paint(good, 0xaa);
    TRY("movdir64b (%%rsi), %%rdi", good + 64, PAGE_ABSENT + 8);
    check("absent_source_is_pf", faulted(PF, 0) && seen_cr2 == PAGE_ABSENT + 8);
    TRY("movdir64b (%%rsi), %%rdi", good + 64, PAGE_ABSENT - 40);
    check("source_that_ends_in_an_absent_page_is_pf", faulted(PF, 0) && seen_cr2 == PAGE_ABSENT);
    check("absent_source_stores_nothing", painted(good, 0xaa));
}

/* In ring 3 with D in rdi and S in rsi; the attempt ends in a fault or at an undefined instruction behind it. */
static void try_in_ring_3(uint64_t d, uint64_t s)
{
    seen_vector = 0;
    __asm__ volatile("movq %%rsp, resume_rsp\n\t"
                     "leaq 2f(%%rip), %%rax\n\t"
                     "movq %%rax, resume_rip\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rax, tried_rip\n\t"
                     "pushq %2\n\t"
                     "pushq %3\n\t"
                     "pushq $2\n\t"
                     "pushq %4\n\t"
                     "pushq %%rax\n\t"
                     "iretq\n"
                     "1:\tmovdir64b (%%rsi), %%rdi\n\t"
                     "ud2\n"
                     "2:"
                     :
                     : "D"(d), "S"(s), "i"(USER_DATA), "r"(PAGE_GOOD_2 + 2048), "i"(USER_CODE)
                     : "rax", "memory", "cc");
}

static void ring_3(void)
{
    paint(good, 0xaa);
    paint(good + 512, 0x55);
    try_in_ring_3((uint64_t)good, (uint64_t)(good + 512));
    check("ring_3_may_use_it", seen_vector == UD && seen_rip != tried_rip && good[0] == 0x55 && good[63] == 0x55);
    try_in_ring_3(PAGE_SUPERVISOR + 64, (uint64_t)good);
    check("ring_3_cannot_write_supervisor_page",
          faulted(PF, WAS_PRESENT | WAS_WRITE | WAS_USER) && *(volatile uint64_t *)(PAGE_SUPERVISOR + 64) == 0);
    try_in_ring_3((uint64_t)good, PAGE_SUPERVISOR);
    check("ring_3_cannot_read_supervisor_page", faulted(PF, WAS_PRESENT | WAS_USER) && good[0] == 0x55);
}

void fault_tests(void)
{
    misaligned_destination();
    destinations();
    sources();
    ring_3();
}
