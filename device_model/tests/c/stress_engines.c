/*
 * stress_engines.c - many engines in two groups, a thread for each work queue that submits single descriptors and batches and
 * gives commands, and one that gives commands to the whole device.
 *
 * There is no memory: a list is made up when it is read, and a write of a record is judged where it arrives. The address
 * of a record tells its place in the order of its queue, so one that comes out of order, comes twice, or comes after
 * a command that promised quiet has ended, is seen. The PASID is the queue's number. Arguments: seed, rounds of each queue.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "engine_rig.h"

enum { WQS = 6, ENGINES = 4, PER_DESCRIPTOR = 1 << 7, MAX_MEMBERS = 100 };

struct queue {
	uint32_t index, random;
	uint64_t submitted;              /* number of the descriptor; its records begin at number * PER_DESCRIPTOR * CR_SIZE */
	atomic_bool quiet;               /* nothing may be written or signalled */
	atomic_uint_fast64_t last;       /* place of the last record */
	atomic_uint writing;             /* engines that write for it at the same time */
	atomic_uint_fast64_t records, messages;
};

static struct idxd *idxd;
static struct ledger *ledger;
static struct queue queues[WQS];
static atomic_bool stop;
static unsigned rounds;

static uint32_t next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* ---- what the device sees ---- */

static bool find(struct dma_space *space, uint64_t iova, unsigned right, struct dma_range *range)
{
	(void)space, (void)iova, (void)right;
	*range = (struct dma_range){ .last = UINT64_MAX, .rights = DMA_MAY_READ | DMA_MAY_WRITE };
	return true;
}

/* The list's address is where the records of its descriptor begin, so members know theirs. */
static enum dma_result read_list(struct dma_space *space, uint64_t iova, void *buf, size_t len, size_t *done)
{
	(void)space;
	CHECK(iova % 64 == 0 && len % 64 == 0 && len <= 64 * MAX_MEMBERS);
	for (size_t offset = 0; offset < len; offset += 64) {
		const uint64_t list = (iova + offset) / (64 * PER_DESCRIPTOR) * (64 * PER_DESCRIPTOR);
		const uint64_t member = (iova + offset - list) / 64;
		const struct rig_desc desc = {
			.opcode = OP_NOOP,
			.flags = DESC_F_CRAV | DESC_F_RCR | (member % 16 == 0 ? DESC_F_RCI : 0),
			.record = list / 2 + member * CR_SIZE,
		};

		rig_encode(&desc, (uint8_t *)buf + offset);
	}
	*done = len;
	return DMA_OK;
}

/* A record comes in two writes, the one with the status last. */
static enum dma_result write_record(struct dma_space *space, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	struct queue *queue = space->ctx;
	const uint64_t place = iova / CR_SIZE;

	(void)buf;
	*done = len;
	CHECK(!atomic_load(&queue->quiet));
	if (iova % CR_SIZE != 0)
		return DMA_OK;
	CHECK_EQUAL(atomic_fetch_add(&queue->writing, 1), 0);
	CHECK(place > atomic_load(&queue->last));
	atomic_store(&queue->last, place);
	atomic_fetch_add(&queue->records, 1);
	if (place % 8 == 0)
		sched_yield();
	CHECK_EQUAL(atomic_fetch_sub(&queue->writing, 1), 1);
	return DMA_OK;
}

static bool enter(void *ctx, bool pasid_enable, uint32_t pasid, struct dma_space *space)
{
	static const struct dma_space_ops ops = { .find = find, .read = read_list, .write = write_record };

	(void)ctx;
	CHECK(pasid_enable && pasid < WQS);
	space->ops = &ops;
	space->ctx = &queues[pasid];
	return true;
}

static void on_message(void *ctx, const struct interrupt_message *message)
{
	struct queue *queue = &queues[message->witness.wq];

	(void)ctx;
	CHECK_EQUAL(message->witness.pasid, queue->index);
	CHECK(!atomic_load(&queue->quiet));
	atomic_fetch_add(&queue->messages, 1);
}

static void on_error(void *ctx, uint32_t wq, const struct error_report *report)
{
	(void)ctx, (void)wq;
	CHECK_EQUAL(report->swerror[0] >> 8 & 0xFF, SWERR_DWQ_FULL);
}

/* ---- what is submitted and counted ---- */

static void submit(struct queue *queue)
{
	const uint32_t random = next(&queue->random);
	const uint64_t first = ++queue->submitted * PER_DESCRIPTOR * CR_SIZE;
	const bool batch = random % 4 == 0;
	const struct rig_desc desc = {
		.opcode = batch ? OP_BATCH : random % 16 == 1 ? OP_DRAIN : OP_NOOP,
		.flags = DESC_F_CRAV | DESC_F_RCR | (random & 0x100 ? DESC_F_RCI : 0),
		.record = first + (PER_DESCRIPTOR - 1) * CR_SIZE,
		.source = batch ? 2 * first : 0,
		.size = batch ? 2 + random / 0x1000 % (MAX_MEMBERS - 1) : 0,
		.handle = 0,
	};
	struct rig_desc own = desc;
	uint8_t raw[64];

	own.handle = desc.flags & DESC_F_RCI ? (uint16_t)queue->index : 0;
	rig_encode(&own, raw);
	idxd_submit(idxd, queue->index, PORTAL_IMS, raw, queue->index + 1);
}

static void enable(uint32_t wq)
{
	idxd_bar0_write(idxd, RIG_WQS + 32 * wq + 8, 4, 1 | (1 + 2 * wq) << 4 | wq << 8 | 1u << 28);
	idxd_bar0_write(idxd, RIG_WQS + 32 * wq + 12, 4, 21 | 7 << 5);
	while (idxd_wq_enable(idxd, wq) != CMDERR_NONE) /* a command of the device still has an end to tell */
		sched_yield();
}

/* After the command has ended, nothing comes until there is new work. */
static void silence(struct queue *queue)
{
	static const enum wq_command commands[] = { WQ_DRAIN, WQ_ABORT, WQ_DISABLE, WQ_RESET, WQ_STOP };
	const enum wq_command command = commands[next(&queue->random) % 5];

	CHECK_EQUAL(idxd_wq_command(idxd, queue->index, command), CMDERR_NONE);
	atomic_store(&queue->quiet, true);
	for (unsigned i = next(&queue->random) % 4; i > 0; i--)
		sched_yield();
	if (command != WQ_DRAIN && command != WQ_ABORT) {
		submit(queue); /* is not taken */
		enable(queue->index);
	}
	atomic_store(&queue->quiet, false);
}

static void *queue_main(void *arg)
{
	struct queue *queue = arg;

	for (unsigned i = 0; i < rounds; i++) {
		if (next(&queue->random) % 16 == 0)
			silence(queue);
		else
			submit(queue);
	}
	CHECK_EQUAL(idxd_wq_command(idxd, queue->index, WQ_DRAIN), CMDERR_NONE);
	atomic_store(&queue->quiet, true);
	return NULL;
}

/* Aborts and drains of the whole device, while the queues go on. */
static void *device_main(void *arg)
{
	uint32_t random = *(uint32_t *)arg;

	while (!atomic_load(&stop)) {
		const uint32_t code = next(&random) % 4 == 0 ? CMD_ABORT_ALL : CMD_DRAIN_ALL;

		idxd_bar0_write(idxd, REG_CMD, 4, code << 20);
		while (idxd_bar0_read(idxd, REG_CMDSTATUS, 4) & CMDSTATUS_ACTIVE)
			sched_yield();
	}
	return NULL;
}

static uint64_t counts[16];

static void read_ledger(void)
{
	static struct ledger_record records[4096];
	uint64_t lost = 0;
	size_t count;

	do {
		count = ledger_read(ledger, records, 4096, &lost);
		CHECK_EQUAL(lost, 0);
		for (size_t i = 0; i < count; i++)
			counts[records[i].kind & 15]++;
	} while (count == 4096);
}

static void *ledger_main(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		read_ledger();
		sched_yield();
	}
	return NULL;
}

static void *engine_main(void *arg)
{
	idxd_engine_run(idxd, (uint32_t)(uintptr_t)arg);
	return NULL;
}

static void leave(void *ctx, struct dma_space *space)
{
	(void)ctx, (void)space;
}

static void bring_up(void)
{
	const struct idxd_config config = {
		.num_wqs = WQS, .total_wq_size = 16 * WQS, .num_ims = 256, .max_xfer_log2 = 21, .max_batch_log2 = 7,
		.num_groups = 2, .num_engines = ENGINES,
	};
	const struct idxd_ports ports = {
		.message = on_message, .dma_enter = enter, .dma_leave = leave, .error = on_error,
	};
	struct rig rig = { .num_wqs = WQS };

	ledger = ledger_create(1 << 20);
	CHECK(ledger);
	idxd = idxd_create(&config, &ports, ledger);
	CHECK(idxd);
	rig.idxd = idxd;
	rig_group(&rig, 0, 0x0F, 0x7);
	rig_group(&rig, 1, 0x30, 0x8);
	rig_enable(&rig, 16);
	for (uint32_t i = 0; i < WQS; i++) {
		idxd_bar0_write(idxd, 0x10000 + 16 * i + 12, 4, i << 12 | IMS_CTRL_PASID_EN);
		rig_command(&rig, CMD_REQUEST_INT_HANDLE, 1u << 16 | i);
		enable(i);
	}
}

static void run_threads(uint32_t seed)
{
	pthread_t engines[ENGINES], guests[WQS], device, reader;

	for (uintptr_t i = 0; i < ENGINES; i++)
		CHECK_EQUAL(pthread_create(&engines[i], NULL, engine_main, (void *)i), 0);
	for (uint32_t i = 0; i < WQS; i++) {
		queues[i].index = i;
		queues[i].random = seed * 977 + i * 7919 + 1;
		CHECK_EQUAL(pthread_create(&guests[i], NULL, queue_main, &queues[i]), 0);
	}
	CHECK_EQUAL(pthread_create(&device, NULL, device_main, &seed), 0);
	CHECK_EQUAL(pthread_create(&reader, NULL, ledger_main, NULL), 0);
	for (uint32_t i = 0; i < WQS; i++)
		pthread_join(guests[i], NULL);
	atomic_store(&stop, true);
	pthread_join(device, NULL);
	pthread_join(reader, NULL);
	idxd_stop_engines(idxd);
	for (unsigned i = 0; i < ENGINES; i++)
		pthread_join(engines[i], NULL);
}

int main(int argc, char **argv)
{
	uint64_t records = 0, messages = 0;

	CHECK_EQUAL(argc, 3);
	rounds = (unsigned)strtoul(argv[2], NULL, 10);
	bring_up();
	run_threads((uint32_t)strtoul(argv[1], NULL, 10));
	read_ledger();
	for (uint32_t i = 0; i < WQS; i++) {
		records += atomic_load(&queues[i].records);
		messages += atomic_load(&queues[i].messages);
		CHECK(atomic_load(&queues[i].records) > rounds / 8); /* no queue was left out */
	}
	CHECK_EQUAL(counts[LEDGER_ACCEPTED], counts[LEDGER_COMPLETED] + counts[LEDGER_ABORTED]);
	CHECK_EQUAL(counts[LEDGER_COMPLETED], records);
	CHECK_EQUAL(counts[LEDGER_FIRED], messages);
	CHECK(counts[LEDGER_ABORTED] > 0 && messages > 0);
	idxd_destroy(idxd);
	ledger_destroy(ledger);
	printf("%" PRIu64 " records\n", records);
	return 0;
}
