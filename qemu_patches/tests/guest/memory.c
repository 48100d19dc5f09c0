/* RAM: what is stored, what is not, and that the flags stay as they are. */
#include "guest.h"

static uint8_t *const good = (uint8_t *)PAGE_GOOD;
static uint8_t *const good_2 = (uint8_t *)PAGE_GOOD_2;

static void fill(uint8_t *at, unsigned size, uint8_t first)
{
    for (unsigned i = 0; i < size; i++) {
        at[i] = (uint8_t)(first + i * 7);
    }
}

static bool holds(const volatile uint8_t *at, unsigned size, uint8_t first)
{
    for (unsigned i = 0; i < size; i++) {
        if (at[i] != (uint8_t)(first + i * 7)) {
            return false;
        }
    }
    return true;
}

static bool all(const volatile uint8_t *at, unsigned size, uint8_t value)
{
    for (unsigned i = 0; i < size; i++) {
        if (at[i] != value) {
            return false;
        }
    }
    return true;
}

static void clear(uint8_t *at, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        *(volatile uint8_t *)(at + i) = 0xee;
    }
}

static void movdiri_stores_its_register(void)
{
    clear(good, 64);
    TRY("movdiri %%rsi, (%%rdi)", good + 8, 0x1122334455667788);
    check("movdiri_stores_8_bytes", seen_vector == 0 && *(volatile uint64_t *)(good + 8) == 0x1122334455667788 &&
                                        all(good, 8, 0xee) && all(good + 16, 48, 0xee));
    clear(good, 64);
    TRY("movdiri %%esi, (%%rdi)", good + 8, 0x1122334455667788);
    check("movdiri_stores_4_bytes", seen_vector == 0 && *(volatile uint32_t *)(good + 8) == 0x55667788 &&
                                        all(good, 8, 0xee) && all(good + 12, 52, 0xee));
}

static void copies_64_bytes(const char *name, uint8_t *to, uint8_t *from)
{
    clear(good, 512);
    clear(good_2, 512);
    fill(from, 64, 3);
    TRY("movdir64b (%%rsi), %%rdi", to, from);
    check(name, seen_vector == 0 && holds(to, 64, 3) && all(to + 64, 64, 0xee));
}

static void overlapping_source_is_read_first(void)
{
    fill(good, 128, 9);
    TRY("movdir64b (%%rsi), %%rdi", good, good + 24);
    check("overlapping_source_is_read_first", seen_vector == 0 && holds(good, 64, (uint8_t)(9 + 24 * 7)));
}

#define FLAGS 0x8d5ull

static uint64_t flags_after(uint64_t flags, int which)
{
    uint64_t after;

    if (which == 0) {
        __asm__ volatile("pushq %1\n\tpopfq\n\tmovdir64b (%3), %2\n\tpushfq\n\tpopq %0"
                         : "=r"(after) : "r"(flags), "r"(good), "r"(good_2) : "cc", "memory");
    } else {
        __asm__ volatile("pushq %1\n\tpopfq\n\tmovdiri %3, (%2)\n\tpushfq\n\tpopq %0"
                         : "=r"(after) : "r"(flags), "r"(good), "r"(good_2) : "cc", "memory");
    }
    return after & FLAGS;
}

static uint64_t flags_of_a_subtraction_after(int which)
{
    uint64_t after;

    if (which == 0) {
        __asm__ volatile("cmpl $5, %3\n\tmovdir64b (%2), %1\n\tpushfq\n\tpopq %0"
                         : "=r"(after) : "r"(good), "r"(good_2), "r"(3) : "cc", "memory");
    } else {
        __asm__ volatile("cmpl $5, %3\n\tmovdiri %2, (%1)\n\tpushfq\n\tpopq %0"
                         : "=r"(after) : "r"(good), "r"(good_2), "r"(3) : "cc", "memory");
    }
    return after & FLAGS;
}

static void flags_stay(void)
{
    check("movdir64b_leaves_flags", flags_after(FLAGS | 2, 0) == FLAGS && flags_after(2, 0) == 0);
    check("movdiri_leaves_flags", flags_after(FLAGS | 2, 1) == FLAGS && flags_after(2, 1) == 0);
    /* 3 - 5: carry, sign and adjust; QEMU computes them when they are asked for. */
    check("movdir64b_leaves_lazy_flags", flags_of_a_subtraction_after(0) == 0x91);
    check("movdiri_leaves_lazy_flags", flags_of_a_subtraction_after(1) == 0x91);
}

void memory_tests(void)
{
    movdiri_stores_its_register();
    copies_64_bytes("movdir64b_copies_64_bytes", good + 128, good + 320);
    copies_64_bytes("source_may_be_unaligned", good + 128, good + 320 + 13);
    copies_64_bytes("source_may_cross_a_page", good_2 + 128, good_2 - 29);
    overlapping_source_is_read_first();
    flags_stay();
    /* Left by the attempts before 64-bit mode: ES has base 0x1000; and with 16-bit addresses the registers' upper halves. */
    check("segment_of_destination_is_es_in_32_bit_mode", *(volatile uint32_t *)0x9000 == 0x11111111 &&
                                                              *(volatile uint32_t *)0x903c == 0x20202020);
    check("addresses_have_16_bits_with_prefix_in_32_bit_mode", *(volatile uint32_t *)0xa000 == 0x11111111 &&
                                                                    *(volatile uint32_t *)0xa03c == 0x20202020);
}
