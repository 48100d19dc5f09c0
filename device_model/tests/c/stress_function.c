/*
 * stress_function.c - the whole device in the hands of many threads: engines, submitters, commands, registers, while one thread
 * halts and resets it. From the end of a function-level reset until MSI-X is switched on again, no message may leave.
 *
 * Arguments: seed, rounds.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "../../core/idxd.h"
#include "check.h"

enum { WQS = 4, ENGINES = 2, VECTORS = 8, LIMIT_S = 200, GRPCFG = 0x600, WQCFG = 0x800, MSIXPERM = 0x5000 };

static struct idxd *idxd;
static struct ledger *ledger;
static atomic_uint messages, halts;
static atomic_bool silent, stop;
static unsigned seed;

static void on_message(void *ctx, const struct interrupt_message *message)
{
	(void)ctx;
	CHECK(!atomic_load(&silent));
	CHECK(message->msix && message->entry < VECTORS);
	sched_yield();
	CHECK(!atomic_load(&silent)); /* on its way until this returns */
	atomic_fetch_add(&messages, 1);
}

static bool no_memory(void *ctx, bool enable, uint32_t pasid, struct dma_space *space)
{
	(void)ctx, (void)enable, (void)pasid, (void)space;
	return false;
}

static void never_left(void *ctx, struct dma_space *space)
{
	(void)ctx, (void)space;
	CHECK(false);
}

static void on_error(void *ctx, uint32_t wq, const struct error_report *report)
{
	(void)ctx, (void)wq;
	CHECK(report->swerror[0] & SWERROR_VALID);
}

static void *engine(void *arg)
{
	idxd_engine_run(idxd, (uint32_t)(uintptr_t)arg);
	return NULL;
}

/* A No-op with an interrupt; every fourth has a record, for which there is no memory. */
static void *submit(void *arg)
{
	unsigned state = seed + (unsigned)(uintptr_t)arg;

	while (!atomic_load(&stop)) {
		const unsigned r = (unsigned)rand_r(&state);
		uint8_t desc[64] = { [4] = DESC_F_RCI, [36] = (uint8_t)(r % VECTORS) };

		if (r / 64 % 4 == 0) {
			desc[4] |= DESC_F_CRAV | DESC_F_RCR;
			desc[9] = 0x10;
		}
		idxd_submit(idxd, r / 8 % WQS, PORTAL_MSIX, desc, 0);
		if (r % 3 == 0)
			sched_yield();
	}
	return NULL;
}

static void *command(void *arg)
{
	static const uint32_t commands[] = { 0x300000, 0x400000, 0x800001, 0x900002, 0x700004, 0x600002, 0xB00000, 0xC00000, 0xD00001, 0xE00003 };
	unsigned state = seed + (unsigned)(uintptr_t)arg;

	while (!atomic_load(&stop)) {
		const unsigned r = (unsigned)rand_r(&state);

		idxd_bar0_write(idxd, REG_CMD, 4, commands[r % 10] | (r & 1024 ? CMD_REQUEST_INTERRUPT : 0));
		sched_yield();
	}
	return NULL;
}

static void *touch(void *arg)
{
	unsigned state = seed + (unsigned)(uintptr_t)arg;
	const uint64_t table = idxd_msix_table_offset(idxd);

	while (!atomic_load(&stop)) {
		const unsigned r = (unsigned)rand_r(&state);

		idxd_bar0_read(idxd, (uint64_t)r % idxd_bar0_size(idxd) & ~7ull, 8);
		idxd_bar0_write(idxd, table + r / 16 % VECTORS * MSIX_STRIDE + MSIX_VCTRL, 4, r & 1);
		idxd_bar0_write(idxd, MSIXPERM + r / 16 % VECTORS * MSIXPERM_STRIDE, 4, r & 6);
		idxd_bar0_write(idxd, REG_GENCTRL, 4, r >> 3 & 3);
		idxd_bar0_write(idxd, REG_INTCAUSE, 4, UINT32_MAX);
		idxd_bar0_write(idxd, REG_SWERROR, 4, 3);
		sched_yield();
	}
	return NULL;
}

/* A command of others may be active: until this one has been taken and has ended. Bounded by the alarm. */
static void insist(uint32_t cmd, uint32_t state)
{
	while ((idxd_bar0_read(idxd, REG_GENSTS, 4) & 3) != state) {
		idxd_bar0_write(idxd, REG_CMD, 4, cmd);
		sched_yield();
	}
}

static void start(void)
{
	for (uint32_t i = 0; i < WQS; i++) {
		idxd_bar0_write(idxd, WQCFG + i * WQCFG_STRIDE, 4, 16);
		idxd_bar0_write(idxd, WQCFG + i * WQCFG_STRIDE + 8, 8, 0x11 | (21ull | 5 << 5) << 32);
	}
	idxd_bar0_write(idxd, GRPCFG, 8, (1 << WQS) - 1);
	idxd_bar0_write(idxd, GRPCFG + 32, 8, (1 << ENGINES) - 1);
	atomic_store(&silent, false);
	idxd_set_bus_master(idxd, true);
	idxd_set_msix(idxd, true, false);
	insist(CMD_ENABLE_DEVICE << 20, DEVICE_ENABLED);
	for (uint32_t i = 0; i < WQS; i++)
		(void)idxd_wq_enable(idxd, i);
}

static void rounds(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const unsigned before = atomic_load(&messages);

		start();
		for (unsigned spins = 0; spins < 2000 && atomic_load(&messages) < before + 20; spins++)
			sched_yield();
		if (i % 3 == 1) {
			idxd_set_bus_master(idxd, false);
			halts += (idxd_bar0_read(idxd, REG_GENSTS, 4) & 3) == DEVICE_HALTED;
		}
		if (i % 3 == 2)
			insist(CMD_RESET_DEVICE << 20, DEVICE_DISABLED);
		idxd_flr(idxd);
		atomic_store(&silent, true);
		CHECK_EQUAL(idxd_bar0_read(idxd, REG_GENSTS, 4), DEVICE_DISABLED);
		CHECK_EQUAL(idxd_bar0_read(idxd, WQCFG, 8), 0);
		for (unsigned spins = 0; spins < 30; spins++) {
			/* Vector 0 may be pending by a command of after the reset; the others could only be by a descriptor of before. */
			CHECK_EQUAL(idxd_bar0_read(idxd, idxd_msix_pba_offset(idxd), 8) & ~1ull, 0);
			sched_yield();
		}
	}
}

int main(int argc, char **argv)
{
	const struct idxd_config config = { .num_wqs = WQS, .total_wq_size = 64, .num_ims = 0, .max_xfer_log2 = 21, .max_batch_log2 = 5,
					    .num_groups = 1, .num_engines = ENGINES, .num_msix = VECTORS, .features = IDXD_NO_HANDLES };
	const struct idxd_config handles = { .num_wqs = WQS, .total_wq_size = 64, .num_ims = 256, .max_xfer_log2 = 21, .max_batch_log2 = 5,
					     .num_groups = 1, .num_engines = ENGINES, .num_msix = VECTORS };
	const struct idxd_ports ports = { .message = on_message, .dma_enter = no_memory, .dma_leave = never_left, .error = on_error };
	void *(*const others[])(void *) = { submit, submit, command, touch };
	pthread_t engines[ENGINES], threads[4];

	seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
	alarm(LIMIT_S);
	ledger = ledger_create(1024);
	idxd = idxd_create(seed % 2 ? &config : &handles, &ports, ledger);
	CHECK(ledger && idxd);
	atomic_store(&silent, true);
	for (uintptr_t i = 0; i < ENGINES; i++)
		CHECK_EQUAL(pthread_create(&engines[i], NULL, engine, (void *)i), 0);
	for (uintptr_t i = 0; i < 4; i++)
		CHECK_EQUAL(pthread_create(&threads[i], NULL, others[i], (void *)i), 0);
	rounds(argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 50);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	idxd_stop_engines(idxd);
	for (unsigned i = 0; i < ENGINES; i++)
		pthread_join(engines[i], NULL);
	CHECK(atomic_load(&messages) > 0);
	printf("%u messages, %u halts\n", messages, halts);
	idxd_destroy(idxd);
	ledger_destroy(ledger);
	return 0;
}
