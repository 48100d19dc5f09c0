/*
 * test_store_threads.c - message stores in the hands of several threads: who forbids a message waits until it has arrived, and for no
 * others; none is lost, doubled or sent while masked; nothing comes, and no memory is touched, once a table or page is taken away.
 *
 * Arguments: rounds. A wait that does not end is ended by the alarm.
 */
#include <pthread.h>
#include <unistd.h>

#include "store_rig.h"

enum { LIMIT_S = 100, PATIENCE = 200, RAISERS = 3 };

static struct store_rig rig;
static atomic_bool inside, begun, returned, arrived, stop;
static unsigned rounds;

static uint16_t handle(uint32_t wq, uint32_t n)
{
	return store_rig_handle(&rig, wq, n);
}

/* ---- who forbids a message waits for it ---- */

static void hold(struct store_rig *it, const struct interrupt_message *message)
{
	(void)it, (void)message;
	atomic_store(&inside, true);
	while (!atomic_load(&begun))
		sched_yield();
	for (unsigned i = 0; i < PATIENCE; i++) {
		CHECK(!atomic_load(&returned));
		sched_yield();
	}
	atomic_store(&arrived, true);
}

static void by_mask(void)
{
	store_rig_mask(&rig, 1, 3, true);
}

static void by_release(void)
{
	CHECK(store_release_handle(rig.store, store_rig_entry(&rig, 1, 3)));
	store_wait_sent(rig.store, store_rig_entry(&rig, 1, 3));
}

static void by_reset(void)
{
	if (rig.msix)
		msix_reset_permissions(rig.msix);
	store_reset(rig.store);
}

static void by_table(void)
{
	store_write(rig.store, TABLE_OBJECTS + 8 * TABLE_OBJECT_STRIDE + TABLE_OBJECT_CTRL, 4, 0);
}

static void by_queue_without_machine(void)
{
	store_write(rig.store, 4, 4, 0);
}

static void by_queue_of_another_machine(void)
{
	store_write(rig.store, 4, 4, TABLE_WQ_VALID | 9);
}

static void by_context(void)
{
	store_write(rig.store, QUEUE_CONTEXT_STRIDE + QUEUE_CTRL, 4, 0);
}

static void by_request_in_memory(void)
{
	CHECK(host_memory_update(rig.memory, rig.page[1] + 3 * IMS_STRIDE + IMS_CTRL, QUEUE_CTRL_REQUESTED, 0, NULL));
	store_rig_sync(&rig, 1, 3);
}

static void by_pointer_in_memory(void)
{
	const uint64_t none = 0;

	CHECK(host_memory_write(rig.memory, rig.directory[1], &none, 8));
	store_rig_sync(&rig, 1, 3);
}

static void *forbid(void *arg)
{
	void (*const how)(void) = *(void (**)(void))arg;

	while (!atomic_load(&inside))
		sched_yield();
	atomic_store(&begun, true);
	how();
	CHECK(atomic_load(&arrived));
	atomic_store(&returned, true);
	return NULL;
}

static void check_waits(enum organisation organisation, void (*how)(void))
{
	pthread_t thread;

	atomic_store(&inside, false);
	atomic_store(&begun, false);
	atomic_store(&returned, false);
	atomic_store(&arrived, false);
	store_rig_make(&rig, organisation);
	rig.on_message = hold;
	store_rig_arm(&rig, 1, 3, 1);
	CHECK_EQUAL(pthread_create(&thread, NULL, forbid, &how), 0);
	store_rig_raise(&rig, 1, handle(1, 3));
	pthread_join(thread, NULL);
	CHECK_EQUAL(rig.messages, 1);
	store_rig_drop(&rig);
}

static void mask_release_and_reset_wait_for_a_message_on_its_way(void)
{
	for (int which = STORE_ARRAY; which <= STORE_MSIX; which++) {
		check_waits((enum organisation)which, by_mask);
		check_waits((enum organisation)which, by_release);
		check_waits((enum organisation)which, by_reset);
	}
}

static void valid_cleared_waits_for_a_message_on_its_way(void)
{
	check_waits(STORE_TABLE, by_table);
	check_waits(STORE_TABLE, by_queue_without_machine);
	check_waits(STORE_TABLE, by_queue_of_another_machine);
	check_waits(STORE_QUEUE, by_context);
}

static void sync_of_what_was_taken_away_waits_for_a_message_on_its_way(void)
{
	check_waits(STORE_QUEUE, by_request_in_memory);
	check_waits(STORE_QUEUE, by_pointer_in_memory);
}

/* ---- and for no others ---- */

static atomic_uint turn;

/* A message arrives when a later one is on its way: there is always one. */
static void relay(struct store_rig *it, const struct interrupt_message *message)
{
	const unsigned mine = atomic_fetch_add(&turn, 1) + 1;

	(void)it, (void)message;
	while (atomic_load(&turn) == mine && !atomic_load(&stop))
		sched_yield();
}

static void *keep_busy(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop))
		store_rig_raise(&rig, 1, handle(1, 3));
	return NULL;
}

static void wait_for_the_busy_entry(void)
{
	store_wait_sent(rig.store, store_rig_entry(&rig, 1, 3));
}

static void wait_for_another_entry(void)
{
	store_wait_sent(rig.store, store_rig_entry(&rig, 1, 4));
}

static void mask_another_entry(void)
{
	store_rig_mask(&rig, 1, 4, true);
}

/* A second work queue of the busy machine. */
static void take_another_queue_from_the_machine(void)
{
	store_write(rig.store, 2 * 4, 4, TABLE_WQ_VALID | 8);
	store_write(rig.store, 2 * 4, 4, 0);
}

static void check_ends(enum organisation organisation, void (*wait)(void))
{
	pthread_t threads[2];

	atomic_store(&stop, false);
	atomic_store(&turn, 0);
	store_rig_make(&rig, organisation);
	rig.on_message = relay;
	store_rig_arm(&rig, 1, 3, 1);
	store_rig_arm(&rig, 1, 4, 1);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQUAL(pthread_create(&threads[i], NULL, keep_busy, NULL), 0);
	while (atomic_load(&turn) < 3)
		sched_yield();
	wait();
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	wait_for_the_busy_entry(); /* no count has stuck */
	store_rig_drop(&rig);
}

static void wait_ends_however_busy_others_are(void)
{
	for (int which = STORE_ARRAY; which <= STORE_MSIX; which++) {
		check_ends((enum organisation)which, wait_for_the_busy_entry);
		check_ends((enum organisation)which, wait_for_another_entry);
		check_ends((enum organisation)which, mask_another_entry);
	}
	check_ends(STORE_TABLE, take_another_queue_from_the_machine);
}

/* ---- mask against raise ---- */

static atomic_uint delivered[RAISERS];
static atomic_bool masked[RAISERS];

static void count(struct store_rig *it, const struct interrupt_message *message)
{
	const uint32_t wq = message->data;

	(void)it;
	CHECK(!atomic_load(&masked[wq]));
	CHECK_EQUAL(message->entry, store_rig_entry(&rig, wq, wq));
	atomic_fetch_add(&delivered[wq], 1);
}

/* Each waits for its message before it raises again: one lost ends in the alarm, one too many in the count. */
static void *raise_each(void *arg)
{
	const uint32_t wq = (uint32_t)(uintptr_t)arg;

	for (unsigned i = 0; i < rounds; i++) {
		CHECK_EQUAL(store_rig_check(&rig, wq, handle(wq, wq)), REFUSAL_NONE);
		store_rig_raise(&rig, wq, handle(wq, wq));
		while (atomic_load(&delivered[wq]) <= i)
			sched_yield();
		CHECK_EQUAL(atomic_load(&delivered[wq]), i + 1);
	}
	return NULL;
}

static void *mask_each(void *arg)
{
	const uint32_t wq = (uint32_t)(uintptr_t)arg;

	while (!atomic_load(&stop)) {
		store_rig_mask(&rig, wq, wq, true);
		atomic_store(&masked[wq], true);
		sched_yield();
		atomic_store(&masked[wq], false);
		store_rig_mask(&rig, wq, wq, false);
		sched_yield();
	}
	return NULL;
}

static void no_message_is_lost_doubled_or_sent_while_masked(void)
{
	for (int which = STORE_ARRAY; which <= STORE_MSIX; which++) {
		pthread_t raisers[RAISERS], maskers[RAISERS];

		atomic_store(&stop, false);
		store_rig_make(&rig, (enum organisation)which);
		rig.on_message = count;
		for (uintptr_t wq = 0; wq < RAISERS; wq++) {
			atomic_store(&delivered[wq], 0);
			store_rig_arm(&rig, (uint32_t)wq, (uint32_t)wq, (uint32_t)wq);
			CHECK_EQUAL(pthread_create(&maskers[wq], NULL, mask_each, (void *)wq), 0);
			CHECK_EQUAL(pthread_create(&raisers[wq], NULL, raise_each, (void *)wq), 0);
		}
		for (unsigned wq = 0; wq < RAISERS; wq++)
			pthread_join(raisers[wq], NULL);
		atomic_store(&stop, true);
		for (unsigned wq = 0; wq < RAISERS; wq++) {
			pthread_join(maskers[wq], NULL);
			CHECK(!store_rig_pending(&rig, wq, wq));
			CHECK_EQUAL(delivered[wq], rounds);
		}
		store_rig_drop(&rig);
	}
}

/* ---- taking away against raise ---- */

static atomic_bool quiet[RAISERS];

static void not_while_quiet(struct store_rig *it, const struct interrupt_message *message)
{
	(void)it;
	CHECK(!atomic_load(&quiet[message->witness.wq]));
	sched_yield();
	CHECK(!atomic_load(&quiet[message->witness.wq])); /* on its way until this returns */
}

static void *fire(void *arg)
{
	const uint32_t wq = (uint32_t)(uintptr_t)arg;

	while (!atomic_load(&stop)) {
		if (store_rig_check(&rig, wq, handle(wq, 3)) == REFUSAL_NONE)
			store_rig_raise(&rig, wq, handle(wq, 3));
		sched_yield();
	}
	return NULL;
}

static void take_table(uint32_t wq, unsigned round)
{
	if (round & 2)
		store_write(rig.store, wq * 4, 4, 0);
	else
		store_write(rig.store, TABLE_OBJECTS + (7 + wq) * TABLE_OBJECT_STRIDE + TABLE_OBJECT_CTRL, 4, 0);
	atomic_store(&quiet[wq], true);
	sched_yield();
	atomic_store(&quiet[wq], false);
	store_rig_table(&rig, 7 + wq, 32 + wq * STORE_HANDLES, STORE_HANDLES, true);
	store_write(rig.store, wq * 4, 4, TABLE_WQ_VALID | (7 + wq));
}

/* The page is somebody else's at once: what it has then is not changed by a descriptor of before. */
static void take_page(uint32_t wq, unsigned round)
{
	const uint64_t none = 0, pointer = rig.page[wq] | QUEUE_POINTER_VALID;
	const uint64_t ctrl = rig.page[wq] + 3 * IMS_STRIDE + IMS_CTRL;
	uint32_t before;

	CHECK(host_memory_write(rig.memory, rig.directory[wq], &none, 8));
	if (round & 2)
		store_rig_sync(&rig, wq, 3);
	else
		store_write(rig.store, wq * QUEUE_CONTEXT_STRIDE + QUEUE_CTRL, 4, 0);
	atomic_store(&quiet[wq], true);
	CHECK_EQUAL(host_memory_free(rig.memory, rig.page[wq]), 0);
	rig.page[wq] = host_memory_page(rig.memory);
	CHECK_EQUAL(rig.page[wq], pointer & ~QUEUE_POINTER_VALID);
	sched_yield();
	CHECK(host_memory_update(rig.memory, ctrl, 0, 0, &before));
	CHECK_EQUAL(before, 0);
	atomic_store(&quiet[wq], false);
	CHECK(host_memory_write(rig.memory, rig.directory[wq], &pointer, 8));
	store_write(rig.store, wq * QUEUE_CONTEXT_STRIDE + QUEUE_CTRL, 4, QUEUE_VALID);
}

/* A message of any queue, or one that waits in this entry: what is taken away is in use. */
static void await_use(uint32_t wq, bool is_masked)
{
	const unsigned before = atomic_load(&rig.messages);

	while (is_masked ? !store_rig_pending(&rig, wq, 3) : atomic_load(&rig.messages) == before)
		sched_yield();
}

static void what_is_taken_away_is_quiet_and_untouched_at_once(void)
{
	for (int which = STORE_TABLE; which <= STORE_QUEUE; which++) {
		pthread_t threads[2];

		atomic_store(&stop, false);
		store_rig_make(&rig, (enum organisation)which);
		rig.on_message = not_while_quiet;
		for (uintptr_t wq = 0; wq < 2; wq++)
			CHECK_EQUAL(pthread_create(&threads[wq], NULL, fire, (void *)wq), 0);
		for (unsigned i = 0; i < rounds; i++) {
			/* One of the two at a time has a page to lose: freed last is given first. */
			const uint32_t wq = i & 1;

			store_rig_arm(&rig, wq, 3, 1);
			store_rig_mask(&rig, wq, 3, i & 4);
			await_use(wq, i & 4);
			if (which == STORE_TABLE)
				take_table(wq, i);
			else
				take_page(wq, i);
		}
		atomic_store(&stop, true);
		for (unsigned wq = 0; wq < 2; wq++)
			pthread_join(threads[wq], NULL);
		store_rig_drop(&rig);
	}
}

int main(int argc, char **argv)
{
	rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 500;
	alarm(LIMIT_S);
	RUN(mask_release_and_reset_wait_for_a_message_on_its_way);
	RUN(valid_cleared_waits_for_a_message_on_its_way);
	RUN(sync_of_what_was_taken_away_waits_for_a_message_on_its_way);
	RUN(wait_ends_however_busy_others_are);
	RUN(no_message_is_lost_doubled_or_sent_while_masked);
	RUN(what_is_taken_away_is_quiet_and_untouched_at_once);
	return 0;
}
