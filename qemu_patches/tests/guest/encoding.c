/* Encodings: prefixes, all registers, and what has to be an undefined instruction. */
#include "guest.h"

#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101

static volatile uint64_t *const good = (uint64_t *)PAGE_GOOD;
static volatile uint64_t *const good_2 = (uint64_t *)PAGE_GOOD_2;

static void prepare(void)
{
    for (unsigned i = 0; i < 64; i++) {
        good[i] = 0;
        good_2[i] = 0x0101010101010101 * i;
    }
}

static bool copied(unsigned to, unsigned from)
{
    for (unsigned i = 0; i < 8; i++) {
        if (good[to + i] != good_2[from + i]) {
            return false;
        }
    }
    return seen_vector == 0;
}

static void undefined(const char *name)
{
    check(name, seen_vector == UD && seen_rip == tried_rip);
}

static void prefixes(void)
{
    prepare();
    TRY(".byte 0x67, 0x66, 0x0f, 0x38, 0xf8, 0x3e", 0xabcdef0100000000ull + PAGE_GOOD + 64,
        0x1234567800000000ull + PAGE_GOOD_2 + 16);
    check("addresses_have_32_bits_with_prefix", copied(8, 2));
    prepare();
    write_msr(MSR_FS_BASE, PAGE_GOOD_2);
    write_msr(MSR_GS_BASE, PAGE_ABSENT);
    TRY("movdir64b %%fs:(%%rsi), %%rdi", PAGE_GOOD, 32);
    check("segment_override_is_for_the_source_only", copied(0, 4));
}

static void registers(void)
{
    prepare();
    seen_vector = 0;
    __asm__ volatile("movq %0, %%r15\n\tmovq %1, %%r12\n\tmovq $3, %%r9\n\tmovdir64b 16(%%r12,%%r9,8), %%r15"
                     : : "r"(good + 16), "r"(good_2) : "r9", "r12", "r15", "memory");
    check("extended_registers_and_scaled_source", copied(16, 5));
    prepare();
    __asm__ volatile("movq %0, %%r13\n\tmovq $77, %%r8\n\tmovdiri %%r8, 8(%%r13)" : : "r"(good) : "r8", "r13", "memory");
    check("movdiri_extended_registers", good[1] == 77 && good[0] == 0 && good[2] == 0);
    prepare();
    __asm__ volatile("movdir64b (%0), %0" : : "r"(good_2) : "memory");
    check("one_register_for_both", good_2[1] == 0x0101010101010101);
}

static void not_instructions(void)
{
    TRY(".byte 0x66, 0x0f, 0x38, 0xf8, 0xfe", PAGE_GOOD, PAGE_GOOD_2);
    undefined("movdir64b_of_a_register_is_ud");
    TRY(".byte 0x48, 0x0f, 0x38, 0xf9, 0xf7", PAGE_GOOD, PAGE_GOOD_2);
    undefined("movdiri_to_a_register_is_ud");
    TRY(".byte 0xf0, 0x66, 0x0f, 0x38, 0xf8, 0x3e", PAGE_GOOD, PAGE_GOOD_2);
    undefined("movdir64b_with_lock_is_ud");
    TRY(".byte 0xf0, 0x48, 0x0f, 0x38, 0xf9, 0x37", PAGE_GOOD, PAGE_GOOD_2);
    undefined("movdiri_with_lock_is_ud");
    TRY(".byte 0x0f, 0x38, 0xf8, 0x3e", PAGE_GOOD, PAGE_GOOD_2);
    undefined("movdir64b_without_66_is_ud");
    TRY(".byte 0x66, 0x0f, 0x38, 0xf9, 0x37", PAGE_GOOD, PAGE_GOOD_2);
    undefined("movdiri_with_66_is_ud");
    TRY(".byte 0xf2, 0x0f, 0x38, 0xf8, 0x3e", PAGE_GOOD, PAGE_GOOD_2);
    undefined("enqcmd_is_ud");
    TRY(".byte 0xf3, 0x0f, 0x38, 0xf8, 0x3e", PAGE_GOOD, PAGE_GOOD_2);
    undefined("enqcmds_is_ud");
    TRY(".byte 0xc4, 0xe2, 0x79, 0xf8, 0x3e", PAGE_GOOD, PAGE_GOOD_2);
    undefined("movdir64b_with_vex_is_ud");
}

void encoding_tests(void)
{
    prefixes();
    registers();
    not_instructions();
}
