/*
 * fuzz_turns.c - the same scenario by single steps, by turns, and by both in a mixture: what ends, in which order, and what an abort
 * drops must be the same.
 *
 * Queues of several priorities in one group. With the first access to a move's target something happens that depends on the number
 * of the move only, while the engine is at it: more is submitted to some queue, or it is drained, aborted, stopped, disabled,
 * enabled again. Queues never fill up, for what a turn has begun takes no room. Arguments: first seed, number of seeds.
 */
#include "../../core/idxd_internal.h"
#include "engine_rig.h"

enum { WQS = 4, ROUNDS = 12, MOST = 2000, WAITERS = 1000, LISTS = 200, MAX_MEMBERS = 4 };
enum { DATA = 0x1000, TARGETS = 0x100000, RECORDS = 0x200000, LIST = 0x300000, LIST_BYTES = 64 * MAX_MEMBERS };

enum manner { STEPS, TURNS, MIXED };

struct ended {
	unsigned count, aborted;
	uint64_t order[MOST + LISTS];  /* cause, queue and status of each descriptor that ended */
	uint64_t dropped; /* sum of the squares of the causes of those that were dropped */
};

static struct rig rig;
static struct wq_waiter waiters[WAITERS];
static unsigned seed, moves, lists, commands, ends;
static bool met[MOST];

/* The same for the same seed, whatever happens when. */
static unsigned draw(unsigned of, unsigned what)
{
	uint32_t x = seed * 2654435761u ^ of * 2246822519u ^ what * 3266489917u;

	x = (x ^ x >> 15) * 2246822519u;
	x = (x ^ x >> 13) * 3266489917u;
	return x ^ x >> 16;
}

/* ---- what happens ---- */

static struct rig_desc next_move(void)
{
	const unsigned number = moves++;

	return (struct rig_desc){
		.opcode = draw(number, 1) % 16 == 0 ? 0x55 : OP_MEMMOVE, /* no such operation */
		.flags = DESC_F_CRAV | DESC_F_RCR,
		.record = RECORDS + 32 * number,
		.source = DATA,
		.destination = TARGETS + 64 * number,
		.size = 64,
	};
}

static struct rig_desc next_batch(unsigned members)
{
	const uint64_t list = LIST + LIST_BYTES * lists++;

	for (unsigned i = 0; i < members; i++) {
		const struct rig_desc move = next_move();

		rig_encode(&move, rig.memory + list + 64 * i);
	}
	return (struct rig_desc){ .opcode = OP_BATCH, .source = list, .size = members };
}

/* Sometimes of another requester. */
static void submit(uint32_t wq)
{
	const unsigned number = moves, kind = draw(number, 2) % 12;
	struct rig_desc desc;
	uint8_t raw[64];

	if (moves + MAX_MEMBERS > MOST || lists == LISTS)
		return;
	desc = kind == 0 ? next_batch(2 + draw(number, 3) % (MAX_MEMBERS - 1)) : next_move();
	rig_encode(&desc, raw);
	idxd_submit(rig.idxd, wq, PORTAL_IMS, raw, wq + (kind == 1 ? 100 : 1));
}

static void told(struct wq_waiter *waiter)
{
	(void)waiter;
	ends++;
}

/* Not Reset WQ, which takes the priority with which a turn in progress is accounted for. */
static void give_command(uint32_t wq, unsigned kind)
{
	static const enum wq_command kinds[] = { WQ_DRAIN, WQ_ABORT, WQ_DISABLE, WQ_STOP };
	struct wq_waiter *waiter = &waiters[commands];

	if (commands == WAITERS)
		return;
	*waiter = (struct wq_waiter){ .done = told };
	commands += idxd_wq_start(rig.idxd, wq, kinds[kind % 4], waiter) == CMDERR_NONE;
}

/* Refused while it is enabled, or on its way to Disabled. */
static void enable(uint32_t wq)
{
	idxd_bar0_write(rig.idxd, RIG_WQS + 32 * wq + 8, 4, 1 | (1 + draw(wq, 4) % 5) << 4);
	idxd_bar0_write(rig.idxd, RIG_WQS + 32 * wq + 12, 4, 21 | 10 << 5);
	(void)idxd_wq_enable(rig.idxd, wq);
}

static void happen(unsigned number)
{
	const unsigned what = draw(number, 5) % 100;
	const uint32_t wq = draw(number, 6) % WQS;

	if (what < 25)
		for (unsigned i = 0; i <= draw(number, 7) % 6; i++)
			submit(wq);
	else if (what < 31)
		give_command(wq, draw(number, 8));
	else if (what < 43)
		enable(wq);
}

static void on_access(struct rig *self, uint64_t iova)
{
	const uint64_t number = (iova - TARGETS) / 64;

	(void)self;
	if (iova < TARGETS || number >= MOST || met[number])
		return;
	met[number] = true;
	happen((unsigned)number);
}

/* ---- a scenario ---- */

static void bring_up(void)
{
	const struct idxd_config config = {
		.num_wqs = WQS, .total_wq_size = 512, .num_ims = 256, .max_xfer_log2 = 21, .max_batch_log2 = 10, .num_groups = 1,
		.num_engines = 1,
	};

	rig_create(&rig, &config);
	rig_group(&rig, 0, 0xF, 1);
	rig_enable(&rig, 512 / WQS);
	moves = lists = commands = ends = 0;
	memset(met, 0, sizeof(met));
	for (uint32_t wq = 0; wq < WQS; wq++)
		enable(wq);
	rig.on_access = on_access;
}

static void run_all(enum manner manner, unsigned round)
{
	bool worked = true;

	for (unsigned i = 0; worked; i++) {
		const bool step = manner == STEPS || (manner == MIXED && draw(round * 1000 + i, 9) % 3 == 0);

		worked = step ? idxd_engine_step(rig.idxd, 0) : idxd_engine_turn(rig.idxd, 0);
	}
}

static void check_quiet(void)
{
	for (uint32_t i = 0; i < WQS; i++) {
		const struct wq *wq = &rig.idxd->wqs[i];

		CHECK(!wq->busy && wq->num_begun == 0 && wq->count == 0 && !wq->abandon && !wq->waiters);
	}
	CHECK_EQUAL(ends, commands);
}

static void take_result(struct ended *ended)
{
	static struct ledger_record records[RIG_LEDGER];
	uint64_t lost = 0;
	const size_t count = ledger_read(rig.ledger, records, RIG_LEDGER, &lost);
	unsigned accepted = 0;

	memset(ended, 0, sizeof(*ended));
	for (size_t i = 0; i < count; i++) {
		const struct ledger_record *record = &records[i];

		accepted += record->kind == LEDGER_ACCEPTED;
		CHECK(record->kind != LEDGER_DROPPED || record->reason != DROP_WQ_FULL);
		if (record->kind == LEDGER_COMPLETED)
			ended->order[ended->count++] = record->cause << 32 | (uint64_t)record->wq << 8 | record->status;
		if (record->kind == LEDGER_ABORTED) {
			ended->aborted++;
			ended->dropped += record->cause * record->cause;
		}
	}
	CHECK_EQUAL(lost, 0);
	CHECK_EQUAL(accepted, ended->count + ended->aborted);
}

static void run_scenario(enum manner manner, struct ended *ended)
{
	bring_up();
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i <= draw(round, 10) % 24; i++)
			submit(draw(round, 11) % WQS);
		run_all(manner, round);
		check_quiet();
		for (uint32_t wq = 0; wq < WQS; wq++)
			enable(wq);
	}
	take_result(ended);
	rig_destroy(&rig);
}

int main(int argc, char **argv)
{
	static struct ended steps, turns, mixed;
	uint64_t completed = 0, aborted = 0;
	unsigned last;

	CHECK_EQUAL(argc, 3);
	seed = (unsigned)strtoul(argv[1], NULL, 10);
	for (last = seed + (unsigned)strtoul(argv[2], NULL, 10); seed < last; seed++) {
		run_scenario(STEPS, &steps);
		run_scenario(TURNS, &turns);
		run_scenario(MIXED, &mixed);
		if (memcmp(&steps, &turns, sizeof(steps)) != 0 || memcmp(&steps, &mixed, sizeof(steps)) != 0) {
			fprintf(stderr, "seed %u: by steps, by turns and mixed are not the same\n", seed);
			return 1;
		}
		completed += steps.count;
		aborted += steps.aborted;
	}
	CHECK(completed > 0 && aborted > 0);
	printf("%" PRIu64 " completed, %" PRIu64 " aborted\n", completed, aborted);
	return 0;
}
