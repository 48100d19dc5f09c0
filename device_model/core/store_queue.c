/*
 * store_queue.c - organisation `queue`: messages are stored in host memory, apart from the device. The context of a work queue leads
 * to its own directory, that to pages of entries, made when they are needed; an entry is fetched for the check and fetched again
 * when its message is due. The device has no number of entries to tell. A handle is an index into what the queue's directory
 * leads to; besides, each entry has its owner's PASID, so a pointer to a page that has another owner by now is not enough.
 *
 * The host changes entries, or pointers to them, in memory, then writes an index to SYNC: the device looks there again. If the entry
 * may not send any more, or there is none, no message of the queue is on its way when SYNC returns, and no descriptor that has yet
 * to raise one finds it: then its page can be given to somebody else. An entry's number is its address / 16.
 *
 * Registers: the context of each work queue, 16 bytes.
 */
#include <stdlib.h>

#include "flights.h"
#include "owner.h"
#include "regs.h"
#include "store_internal.h"

enum { ENTRY_LIMIT_SHIFT = 36 };

struct context {
	uint64_t directory;
	bool valid;
};

struct store_queue {
	struct store store;
	pthread_mutex_t lock;
	struct flights flights;
	struct interrupt_sink sink;
	struct host_memory_port memory;
	uint32_t num_wqs;
	uint32_t planted;
	struct context *contexts;
};

/* An entry as it was fetched. */
struct fetched {
	uint64_t address;
	uint32_t data, ctrl;
};

static struct store_queue *queue_of(struct store *store)
{
	return (struct store_queue *)store;
}

static void destroy(struct store *store)
{
	struct store_queue *queue = queue_of(store);

	flights_destroy(&queue->flights);
	pthread_mutex_destroy(&queue->lock);
	free(queue->contexts);
	free(queue);
}

static uint64_t entry_address(uint32_t entry)
{
	return (uint64_t)entry * IMS_STRIDE;
}

static bool fetch(const struct store_queue *queue, uint32_t entry, struct fetched *fetched)
{
	return queue->memory.read(queue->memory.ctx, entry_address(entry), fetched, sizeof(*fetched));
}

static void update(const struct store_queue *queue, uint32_t entry, uint32_t clear, uint32_t set)
{
	(void)queue->memory.update(queue->memory.ctx, entry_address(entry) + IMS_CTRL, clear, set);
}

static bool has_entry(struct store *store, uint32_t entry)
{
	struct fetched fetched;

	return fetch(queue_of(store), entry, &fetched);
}

static uint64_t size(const struct store *store)
{
	return (uint64_t)((const struct store_queue *)store)->num_wqs * QUEUE_CONTEXT_STRIDE;
}

/* ---- the way from a work queue to an entry; lock held ---- */

static bool page_of(const struct store_queue *queue, uint64_t directory, uint32_t handle, uint64_t *page)
{
	const uint64_t pointer = directory + handle / QUEUE_PAGE_ENTRIES * sizeof(*page);

	if (!queue->memory.read(queue->memory.ctx, pointer, page, sizeof(*page)) || !(*page & QUEUE_POINTER_VALID))
		return false;
	*page &= ~(uint64_t)(QUEUE_PAGE - 1);
	return *page >> ENTRY_LIMIT_SHIFT == 0;
}

/* UINT32_MAX: the handle leads nowhere. */
static uint32_t locate(const struct store_queue *queue, uint32_t wq, uint32_t handle)
{
	const struct context *context = wq < queue->num_wqs ? &queue->contexts[wq] : NULL;
	uint64_t page;

	if (!context || !context->valid || !page_of(queue, context->directory, handle, &page))
		return UINT32_MAX;
	return (uint32_t)(page / IMS_STRIDE) + handle % QUEUE_PAGE_ENTRIES;
}

static enum refusal find(const struct store_queue *queue, const struct witness *witness, bool pasid_enable, uint32_t *entry,
			 struct fetched *fetched)
{
	const uint32_t located = locate(queue, witness->wq, witness->handle);
	struct owner owner;

	*entry = UINT32_MAX;
	if (located == UINT32_MAX || !fetch(queue, located, fetched))
		return REFUSAL_NO_STORAGE;
	*entry = located;
	owner = (struct owner){
		.requested = fetched->ctrl & QUEUE_CTRL_REQUESTED,
		.pasid_enable = fetched->ctrl & IMS_CTRL_PASID_EN,
		.pasid = IMS_CTRL_PASID(fetched->ctrl),
	};
	return owner_judge(&owner, witness, pasid_enable, queue->planted);
}

/* ---- messages; lock held ---- */

/* The device has no address of its own to check against; only messages to local APICs leave it (9.2.28). */
static bool may_leave(const struct fetched *fetched)
{
	return fetched->address >> 32 == 0 && ((uint32_t)fetched->address & MSI_ADDRESS_MASK) == MSI_ADDRESS_BASE;
}

/* Gives the lock up while the sink has the message, so that a mask can wait for it. */
static void send_unlocking(struct store_queue *queue, uint32_t entry, const struct fetched *fetched, const struct witness *witness)
{
	const struct interrupt_message message = {
		.address = fetched->address & ~3ull,
		.data = fetched->data,
		.entry = entry,
		.witness = *witness,
	};
	const struct store_note fired = {
		.kind = LEDGER_FIRED,
		.entry = entry,
		.detail = store_latency_ns(witness),
		.more_flags = fetched->ctrl & IMS_CTRL_MASK ? LEDGER_F_MASKED : 0,
	};
	struct flight flight;

	flights_begin(&queue->flights, &flight, entry, witness->wq);
	pthread_mutex_unlock(&queue->lock);
	store_write_note(queue->store.ledger, &fired, witness);
	queue->sink.message(queue->sink.ctx, &message);
	pthread_mutex_lock(&queue->lock);
	flights_end(&queue->flights, &flight);
}

static void send_if_it_may_leave(struct store_queue *queue, uint32_t entry, const struct fetched *fetched, const struct witness *witness)
{
	if (may_leave(fetched))
		send_unlocking(queue, entry, fetched, witness);
	else
		store_write_note(queue->store.ledger, &(struct store_note){ .kind = LEDGER_VANISHED, .entry = entry }, witness);
}

static void deliver(struct store_queue *queue, uint32_t entry, const struct fetched *fetched, const struct witness *witness)
{
	struct store_note note = { .entry = entry };

	if (fetched->ctrl & IMS_CTRL_IGNORE) {
		note.kind = LEDGER_IGNORED;
		store_write_note(queue->store.ledger, &note, witness);
	} else if ((fetched->ctrl & IMS_CTRL_MASK) && !FAULT(queue->planted, FAULT_MASK_IGNORED)) {
		update(queue, entry, 0, IMS_CTRL_PENDING);
		note.kind = LEDGER_PENDED;
		note.more_flags = LEDGER_F_MASKED;
		store_write_note(queue->store.ledger, &note, witness);
	} else {
		send_if_it_may_leave(queue, entry, fetched, witness);
	}
}

/*
 * An entry that may send does so if it is Pending. One that may not, or is none any more, has no message on its way when this returns;
 * nothing stays pending in one whose handle was released. Who set Pending is not kept: an entry has no room for it, and the record of
 * what leaves now has no cause.
 */
static void look_again(struct store_queue *queue, uint32_t wq, uint32_t handle)
{
	const uint32_t entry = locate(queue, wq, handle);
	const struct witness witness = { .wq = (uint16_t)wq, .handle = (uint16_t)handle };
	struct fetched fetched = { 0 };
	bool requested;

	if (entry != UINT32_MAX)
		(void)fetch(queue, entry, &fetched);
	requested = fetched.ctrl & QUEUE_CTRL_REQUESTED;
	if ((fetched.ctrl & IMS_CTRL_PENDING) && !(requested && (fetched.ctrl & IMS_CTRL_MASK)))
		update(queue, entry, IMS_CTRL_PENDING, 0);
	if (!requested || (fetched.ctrl & IMS_CTRL_MASK))
		flights_wait_wq(&queue->flights, &queue->lock, (uint16_t)wq);
	else if (fetched.ctrl & IMS_CTRL_PENDING)
		send_if_it_may_leave(queue, entry, &fetched, &witness);
}

/* ---- registers; lock held ---- */

static void set_valid(struct store_queue *queue, uint32_t wq, bool valid)
{
	queue->contexts[wq].valid = valid;
	if (!valid)
		flights_wait_wq(&queue->flights, &queue->lock, (uint16_t)wq);
}

static void write_directory(struct context *context, uint64_t mask, uint64_t value)
{
	if (!context->valid)
		context->directory = ((context->directory & ~mask) | (value & mask)) & ~(uint64_t)(QUEUE_PAGE - 1);
}

static void write_dword(struct store_queue *queue, uint64_t offset, uint32_t value)
{
	const uint32_t wq = (uint32_t)(offset / QUEUE_CONTEXT_STRIDE);
	struct context *context = &queue->contexts[wq];

	switch (offset % QUEUE_CONTEXT_STRIDE) {
	case QUEUE_DIRECTORY:
		write_directory(context, UINT32_MAX, value);
		break;
	case QUEUE_DIRECTORY + 4:
		write_directory(context, (uint64_t)UINT32_MAX << 32, (uint64_t)value << 32);
		break;
	case QUEUE_CTRL:
		set_valid(queue, wq, value & QUEUE_VALID);
		break;
	default:
		if (value <= UINT16_MAX)
			look_again(queue, wq, value);
		break;
	}
}

static uint32_t read_dword(const struct store_queue *queue, uint64_t offset)
{
	const struct context *context = &queue->contexts[offset / QUEUE_CONTEXT_STRIDE];

	switch (offset % QUEUE_CONTEXT_STRIDE) {
	case QUEUE_DIRECTORY:
		return (uint32_t)context->directory;
	case QUEUE_DIRECTORY + 4:
		return (uint32_t)(context->directory >> 32);
	case QUEUE_CTRL:
		return context->valid ? QUEUE_VALID : 0;
	default:
		return 0;
	}
}

static uint64_t read(struct store *store, uint64_t offset, unsigned bytes)
{
	struct store_queue *queue = queue_of(store);
	uint64_t value;

	pthread_mutex_lock(&queue->lock);
	value = read_dword(queue, offset);
	if (bytes == 8)
		value |= (uint64_t)read_dword(queue, offset + 4) << 32;
	pthread_mutex_unlock(&queue->lock);
	return value;
}

static void write(struct store *store, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct store_queue *queue = queue_of(store);

	pthread_mutex_lock(&queue->lock);
	write_dword(queue, offset, (uint32_t)value);
	if (bytes == 8)
		write_dword(queue, offset + 4, (uint32_t)(value >> 32));
	pthread_mutex_unlock(&queue->lock);
}

/* No work queue leads anywhere. The memory is the host's. */
static void reset(struct store *store)
{
	struct store_queue *queue = queue_of(store);

	pthread_mutex_lock(&queue->lock);
	for (uint32_t i = 0; i < queue->num_wqs; i++)
		queue->contexts[i] = (struct context){ 0 };
	flights_wait_entries(&queue->flights, &queue->lock, 0, UINT32_MAX);
	pthread_mutex_unlock(&queue->lock);
}

/* ---- one entry ---- */

static void set_requested(struct store *store, uint32_t entry, bool requested)
{
	struct store_queue *queue = queue_of(store);

	pthread_mutex_lock(&queue->lock);
	if (requested)
		update(queue, entry, 0, QUEUE_CTRL_REQUESTED);
	else
		update(queue, entry, QUEUE_CTRL_REQUESTED | IMS_CTRL_PENDING, 0);
	pthread_mutex_unlock(&queue->lock);
}

static void wait_sent(struct store *store, uint32_t entry)
{
	struct store_queue *queue = queue_of(store);

	pthread_mutex_lock(&queue->lock);
	flights_wait_entries(&queue->flights, &queue->lock, entry, 1);
	pthread_mutex_unlock(&queue->lock);
}

static void set_ignore(struct store *store, uint32_t entry, bool ignore)
{
	struct store_queue *queue = queue_of(store);

	pthread_mutex_lock(&queue->lock);
	update(queue, entry, ignore ? 0 : IMS_CTRL_IGNORE, ignore ? IMS_CTRL_IGNORE : 0);
	pthread_mutex_unlock(&queue->lock);
}

static bool pending(struct store *store, uint32_t entry)
{
	struct fetched fetched;

	return fetch(queue_of(store), entry, &fetched) && (fetched.ctrl & IMS_CTRL_PENDING);
}

static enum refusal check(struct store *store, const struct witness *witness, bool pasid_enable, uint32_t *entry)
{
	struct store_queue *queue = queue_of(store);
	struct fetched fetched;
	enum refusal refusal;

	pthread_mutex_lock(&queue->lock);
	refusal = find(queue, witness, pasid_enable, entry, &fetched);
	if (refusal != REFUSAL_NONE && *entry != UINT32_MAX && FAULT(queue->planted, FAULT_PENDING_ON_REFUSAL))
		update(queue, *entry, 0, IMS_CTRL_PENDING);
	pthread_mutex_unlock(&queue->lock);
	return refusal;
}

static void raise(struct store *store, const struct witness *witness, bool pasid_enable)
{
	struct store_queue *queue = queue_of(store);
	struct store_note vanished = { .kind = LEDGER_VANISHED };
	struct fetched fetched;

	pthread_mutex_lock(&queue->lock);
	vanished.reason = (uint8_t)find(queue, witness, pasid_enable, &vanished.entry, &fetched);
	if (vanished.reason == REFUSAL_NONE)
		deliver(queue, vanished.entry, &fetched, witness);
	else
		store_write_note(store->ledger, &vanished, witness);
	pthread_mutex_unlock(&queue->lock);
}

#ifdef VDSA_PLANTED_FAULTS
static void plant_fault(struct store *store, enum planted_fault fault)
{
	struct store_queue *queue = queue_of(store);

	pthread_mutex_lock(&queue->lock);
	queue->planted = fault;
	pthread_mutex_unlock(&queue->lock);
}
#endif

static const struct store_ops ops = {
	.destroy = destroy,
	.has_entry = has_entry,
	.size = size,
	.read = read,
	.write = write,
	.reset = reset,
	.set_requested = set_requested,
	.wait_sent = wait_sent,
	.set_ignore = set_ignore,
	.pending = pending,
	.check = check,
	.raise = raise,
#ifdef VDSA_PLANTED_FAULTS
	.plant_fault = plant_fault,
#endif
};

static bool init_parts(struct store_queue *queue)
{
	if (!queue->contexts || pthread_mutex_init(&queue->lock, NULL) != 0)
		return false;
	if (flights_init(&queue->flights))
		return true;
	pthread_mutex_destroy(&queue->lock);
	return false;
}

struct store *store_queue_create(const struct store_config *config, const struct interrupt_sink *sink, struct ledger *ledger)
{
	struct store_queue *queue;

	if (config->entries != 0 || !config->memory.read || !config->memory.update)
		return NULL;
	queue = calloc(1, sizeof(*queue));
	if (!queue)
		return NULL;
	queue->store = (struct store){ .ops = &ops, .organisation = STORE_QUEUE, .ledger = ledger };
	queue->sink = *sink;
	queue->memory = config->memory;
	queue->num_wqs = config->num_wqs;
	queue->contexts = calloc(config->num_wqs, sizeof(*queue->contexts));
	if (init_parts(queue))
		return &queue->store;
	free(queue->contexts);
	free(queue);
	return NULL;
}
