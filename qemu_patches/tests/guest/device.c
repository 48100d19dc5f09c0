/* A device: QEMU's `edu`, which takes 8-byte writes from 0x80 on and ignores those from 0xa0. What it gets is seen from outside, in QEMU's trace. */
#include "guest.h"

#define EDU 0x11e81234
#define PORTAL 0xc0
#define SHOTS 2000

static volatile uint32_t second_is_there, go, second_is_done;
static volatile uint64_t shots_of[2];
static uint64_t portal;

uint64_t edu_bar(void)
{
    for (uint32_t slot = 0; slot < 32; slot++) {
        uint32_t at = 0x80000000 | slot << 11;

        out32(0xcf8, at);
        if (in32(0xcfc) == EDU) {
            out32(0xcf8, at | 0x04);
            out32(0xcfc, in32(0xcfc) | 2); /* memory accesses */
            out32(0xcf8, at | 0x10);
            return in32(0xcfc) & ~15ul;
        }
    }
    return 0;
}

void device_tests(void)
{
    static uint64_t source[8] __attribute__((aligned(8)));

    portal = edu_bar() + PORTAL;
    check("edu_is_there", portal > PORTAL);
    for (uint64_t i = 0; i < 8; i++) {
        source[i] = 0xd64b000000000000 | i;
    }
    TRY("movdir64b (%%rsi), %%rdi", portal, source);
    check("movdir64b_to_a_device", seen_vector == 0);
    TRY("movdiri %%rsi, (%%rdi)", portal, 0xd1d1000000000008);
    check("movdiri_to_a_device_8_bytes", seen_vector == 0);
    TRY("movdiri %%esi, (%%rdi)", portal - PORTAL + 4, 0x12345678);
    check("movdiri_to_a_device_4_bytes", seen_vector == 0);
}

/*
 * Each write says who wrote it, which shot it is of, and which eighth of it. Nobody stops before the other has had enough,
 * so that they do shoot at the same time.
 */
void run_race(uint64_t to, uint64_t id)
{
    static uint64_t sources[2][8];

    for (uint64_t shot = 0; shot < SHOTS || shots_of[1 - id] < SHOTS; shot++) {
        for (uint64_t i = 0; i < 8; i++) {
            sources[id][i] = 0x4ace000000000000 | id << 40 | shot << 8 | i;
        }
        movdir64b(to, sources[id]);
        shots_of[id] = shot + 1;
    }
}

void ap_main(void);
void ap_main(void)
{
    second_is_there = 1;
    while (go == 0) {
        __asm__ volatile("pause");
    }
    run_race(portal, 1);
    second_is_done = 1;
    for (;;) {
        __asm__ volatile("cli\n\thlt");
    }
}

static void wait_for(volatile uint32_t *flag)
{
    while (*flag == 0) {
        __asm__ volatile("pause");
    }
}

/* INIT and start-up IPI to all but ourselves; the trampoline is at 0x8000. */
void start_second_cpu(void)
{
    volatile uint32_t *command = (volatile uint32_t *)0xfee00300;

    *(volatile uint32_t *)0xfee000f0 = 0x1ff;
    *command = 0xc4500;
    *command = 0xc4608;
    wait_for(&second_is_there);
}

void race_tests(void)
{
    start_second_cpu();
    go = 1;
    run_race(portal, 0);
    wait_for(&second_is_done);
    check("two_cpus_have_finished", true);
}
