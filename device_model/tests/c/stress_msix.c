/*
 * stress_msix.c - an MSI-X table in the hands of many threads: each raiser waits for its message before it raises again, while
 * others mask, rewrite, and switch the function off and on. A message that is lost ends in the alarm, one too many in the count.
 *
 * Arguments: rounds of each raiser.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "../../core/msix.h"
#include "../../core/regs.h"
#include "check.h"

enum { VECTORS = 4, LIMIT_S = 200 };

static struct msix *msix;
static atomic_uint delivered[VECTORS];
static atomic_bool masked[VECTORS], quiet, stop;
static unsigned rounds;

/* Data and address are written together while masked: those of a message must be of one writing. */
static void on_message(void *ctx, const struct interrupt_message *message)
{
	(void)ctx;
	CHECK(!atomic_load(&masked[message->entry]));
	CHECK(!atomic_load(&quiet));
	CHECK_EQUAL(message->address, (uint64_t)message->data << 12);
	atomic_fetch_add(&delivered[message->entry], 1);
}

static void *raise_each(void *arg)
{
	const uint32_t vector = (uint32_t)(uintptr_t)arg;
	const struct witness witness = { .cause = 1, .handle = (uint16_t)vector };

	for (unsigned i = 0; i < rounds; i++) {
		msix_raise(msix, vector, &witness);
		while (atomic_load(&delivered[vector]) <= i)
			sched_yield();
		CHECK_EQUAL(atomic_load(&delivered[vector]), i + 1);
	}
	return NULL;
}

static void set_mask(uint32_t vector, bool on)
{
	msix_write(msix, vector * MSIX_STRIDE + MSIX_VCTRL, 4, on);
}

static void *rewrite(void *arg)
{
	const uint32_t vector = (uint32_t)(uintptr_t)arg;

	for (uint32_t i = 1; !atomic_load(&stop); i = (i + 1) & 0xFFFFF) {
		set_mask(vector, true);
		atomic_store(&masked[vector], true);
		msix_write(msix, vector * MSIX_STRIDE, 8, (uint64_t)i << 12);
		msix_write(msix, vector * MSIX_STRIDE + MSIX_DATA, 4, i);
		atomic_store(&masked[vector], false);
		set_mask(vector, false);
		sched_yield();
	}
	return NULL;
}

static void *switch_function(void *arg)
{
	(void)arg;
	for (unsigned i = 0; !atomic_load(&stop); i++) {
		if (i & 1)
			msix_set_bus_master(msix, false);
		else
			msix_set_capability(msix, i & 2, true);
		atomic_store(&quiet, true);
		msix_read_pba(msix, 0);
		atomic_store(&quiet, false);
		msix_set_bus_master(msix, true);
		msix_set_capability(msix, true, false);
		sched_yield();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct msix_config config = { .vectors = VECTORS, .fired = LEDGER_FIRED, .pended = LEDGER_PENDED };
	const struct interrupt_sink sink = { .message = on_message };
	struct ledger *ledger = ledger_create(1024);
	pthread_t raisers[VECTORS], rewriters[VECTORS], switcher;

	rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
	alarm(LIMIT_S);
	msix = msix_create(&config, &sink, ledger);
	CHECK(msix);
	CHECK_EQUAL(pthread_create(&switcher, NULL, switch_function, NULL), 0);
	for (uintptr_t i = 0; i < VECTORS; i++) {
		CHECK_EQUAL(pthread_create(&rewriters[i], NULL, rewrite, (void *)i), 0);
		CHECK_EQUAL(pthread_create(&raisers[i], NULL, raise_each, (void *)i), 0);
	}
	for (unsigned i = 0; i < VECTORS; i++)
		pthread_join(raisers[i], NULL);
	atomic_store(&stop, true);
	pthread_join(switcher, NULL);
	for (unsigned i = 0; i < VECTORS; i++)
		pthread_join(rewriters[i], NULL);
	CHECK_EQUAL(msix_read_pba(msix, 0), 0);
	for (unsigned i = 0; i < VECTORS; i++)
		CHECK_EQUAL(delivered[i], rounds);
	printf("%u messages\n", rounds * VECTORS);
	msix_destroy(msix);
	ledger_destroy(ledger);
	return 0;
}
