/* msix.c - the life of an MSI-X table, the check of a handle, and the way of an interrupt out of it. */
#include <stdlib.h>
#include <time.h>

#include "msix_internal.h"
#include "owner.h"

static void vector_reset(struct msix_vector *vector)
{
	vector->address = 0;
	vector->data = 0;
	vector->ctrl = MSIX_VCTRL_MASK;
	vector->perm = 0;
	vector->requested = false;
	vector->pending = false;
}

static void init_vectors(struct msix *msix)
{
	const uint32_t *entries = msix->config.entries;

	for (uint32_t i = 0; i < msix->config.vectors; i++) {
		msix->vectors[i].entry = entries ? entries[i] : UINT32_MAX;
		vector_reset(&msix->vectors[i]);
	}
	msix->config.entries = NULL; /* the caller's, not looked at again */
}

struct msix *msix_create(const struct msix_config *config, const struct interrupt_sink *sink, struct ledger *ledger)
{
	struct msix *msix;

	if (config->vectors == 0 || config->vectors > MSIX_MAX_VECTORS)
		return NULL;
	msix = calloc(1, sizeof(*msix));
	if (!msix)
		return NULL;
	msix->vectors = calloc(config->vectors, sizeof(*msix->vectors));
	if (!msix->vectors || pthread_mutex_init(&msix->lock, NULL) != 0)
		goto fail;
	if (!flights_init(&msix->flights)) {
		pthread_mutex_destroy(&msix->lock);
		goto fail;
	}
	msix->sink = *sink;
	msix->ledger = ledger;
	msix->config = *config;
	init_vectors(msix);
	return msix;
fail:
	free(msix->vectors);
	free(msix);
	return NULL;
}

void msix_destroy(struct msix *msix)
{
	if (!msix)
		return;
	flights_destroy(&msix->flights);
	pthread_mutex_destroy(&msix->lock);
	free(msix->vectors);
	free(msix);
}

uint32_t msix_num_vectors(const struct msix *msix)
{
	return msix->config.vectors;
}

#ifdef VDSA_PLANTED_FAULTS
void msix_plant_fault(struct msix *msix, enum planted_fault fault)
{
	pthread_mutex_lock(&msix->lock);
	msix->planted = fault;
	pthread_mutex_unlock(&msix->lock);
}
#endif

/* index: MSIX_MAX_VECTORS or more if the descriptor names no vector. */
static void note(const struct msix *msix, uint8_t kind, uint32_t index, const struct witness *witness, uint8_t reason,
		 uint8_t more_flags, uint64_t detail)
{
	const bool known = index < msix->config.vectors;
	const struct ledger_record record = {
		.cause = witness->cause,
		.detail = detail,
		.requester = witness->requester,
		.target = msix->config.target,
		.pasid = witness->pasid,
		.entry = known ? msix->vectors[index].entry : UINT32_MAX,
		.handle = witness->handle,
		.vector = known ? (uint16_t)index : 0,
		.wq = witness->wq,
		.kind = kind,
		.reason = reason,
		.opcode = witness->opcode,
		.flags = (uint8_t)(witness->flags | more_flags),
	};

	ledger_write(msix->ledger, &record);
}

static uint64_t ns_since(uint64_t start_ns)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - start_ns;
}

/* ---- sending; lock held ---- */

static bool function_may_send(const struct msix *msix)
{
	return msix->enabled && !msix->function_mask && msix->bus_master;
}

static bool may_send(const struct msix *msix, const struct msix_vector *vector)
{
	if (msix->config.elsewhere)
		return true;
	return function_may_send(msix) && (!(vector->ctrl & MSIX_VCTRL_MASK) || FAULT(msix->planted, FAULT_MASK_IGNORED));
}

/* Gives the lock up while the sink has the message, so that a mask can wait for it. Address and data are of one moment. */
static void send_unlocking(struct msix *msix, uint32_t index, const struct witness *witness)
{
	const struct msix_vector *vector = &msix->vectors[index];
	const struct interrupt_message message = {
		.address = vector->address,
		.data = vector->data,
		.entry = index,
		.msix = true,
		.witness = *witness,
	};
	const uint8_t masked = vector->ctrl & MSIX_VCTRL_MASK && !msix->config.elsewhere ? LEDGER_F_MASKED : 0;
	struct flight flight;

	flights_begin(&msix->flights, &flight, index, witness->wq);
	pthread_mutex_unlock(&msix->lock);
	/* Noted before it leaves: who has seen an interrupt is never ahead of the ledger. */
	if (msix->config.fired)
		note(msix, msix->config.fired, index, witness, 0, masked,
		     witness->accepted_ns ? ns_since(witness->accepted_ns) : 0);
	msix->sink.message(msix->sink.ctx, &message);
	pthread_mutex_lock(&msix->lock);
	flights_end(&msix->flights, &flight);
}

void msix_flush_vector(struct msix *msix, uint32_t index)
{
	struct msix_vector *vector = &msix->vectors[index];

	if (vector->pending && may_send(msix, vector)) {
		const struct witness witness = vector->pending_witness;

		vector->pending = false;
		send_unlocking(msix, index, &witness);
	}
}

void msix_wait_sent(struct msix *msix, uint32_t index)
{
	flights_wait_entries(&msix->flights, &msix->lock, index, 1);
}

static void wait_all_sent(struct msix *msix)
{
	flights_wait_entries(&msix->flights, &msix->lock, 0, msix->config.vectors);
}

/* After a change of the function's state. */
static void settle(struct msix *msix)
{
	if (!function_may_send(msix))
		wait_all_sent(msix);
	for (uint32_t i = 0; i < msix->config.vectors; i++)
		msix_flush_vector(msix, i);
}

void msix_set_capability(struct msix *msix, bool enabled, bool function_mask)
{
	pthread_mutex_lock(&msix->lock);
	msix->enabled = enabled;
	msix->function_mask = function_mask;
	settle(msix);
	pthread_mutex_unlock(&msix->lock);
}

void msix_set_bus_master(struct msix *msix, bool on)
{
	pthread_mutex_lock(&msix->lock);
	msix->bus_master = on;
	settle(msix);
	pthread_mutex_unlock(&msix->lock);
}

/* ---- the check (5.4) ---- */

/* A vector's index; UINT32_MAX: out of range. With the bound unchecked, the address wraps. */
static uint32_t index_of(const struct msix *msix, uint32_t handle)
{
	if (FAULT(msix->planted, FAULT_BOUND_UNCHECKED))
		return handle % msix->config.vectors;
	return handle < msix->config.vectors ? handle : UINT32_MAX;
}

static enum refusal judge(const struct msix *msix, const struct witness *witness, bool pasid_enable)
{
	const uint32_t index = index_of(msix, witness->handle);
	const struct msix_vector *vector;
	struct owner owner;

	if (index == UINT32_MAX)
		return REFUSAL_OUT_OF_RANGE;
	vector = &msix->vectors[index];
	owner = (struct owner){
		.requested = vector->requested || !msix->config.handles,
		.pasid_enable = vector->perm & MSIXPERM_PASID_EN,
		.pasid = MSIXPERM_PASID(vector->perm),
	};
	return owner_judge(&owner, witness, pasid_enable, msix->planted);
}

/* The time it waits masked is not the device's latency: no accepted_ns. */
static void remember_pending(struct msix_vector *vector, const struct witness *witness)
{
	vector->pending = true;
	vector->pending_witness = *witness;
	vector->pending_witness.accepted_ns = 0;
}

enum refusal msix_check(struct msix *msix, const struct witness *witness, bool pasid_enable)
{
	enum refusal refusal;
	uint32_t index;

	pthread_mutex_lock(&msix->lock);
	index = index_of(msix, witness->handle);
	refusal = judge(msix, witness, pasid_enable);
	if (refusal != REFUSAL_NONE && index != UINT32_MAX && FAULT(msix->planted, FAULT_PENDING_ON_REFUSAL))
		remember_pending(&msix->vectors[index], witness);
	pthread_mutex_unlock(&msix->lock);
	note(msix, refusal == REFUSAL_NONE ? LEDGER_GRANTED : LEDGER_REFUSED, index, witness, (uint8_t)refusal, 0, 0);
	return refusal;
}

/* ---- interrupts ---- */

static void deliver(struct msix *msix, uint32_t index, const struct witness *witness)
{
	struct msix_vector *vector = &msix->vectors[index];

	if (may_send(msix, vector)) {
		send_unlocking(msix, index, witness);
	} else {
		remember_pending(vector, witness);
		note(msix, msix->config.pended, index, witness, 0, vector->ctrl & MSIX_VCTRL_MASK ? LEDGER_F_MASKED : 0, 0);
	}
}

static void complete(struct msix *msix, uint32_t index, const struct witness *witness)
{
	if (msix->vectors[index].perm & MSIXPERM_IGNORE)
		note(msix, LEDGER_IGNORED, index, witness, 0, 0, 0);
	else
		deliver(msix, index, witness);
}

void msix_raise(struct msix *msix, uint32_t handle, const struct witness *witness)
{
	uint32_t index;

	pthread_mutex_lock(&msix->lock);
	index = index_of(msix, handle);
	if (index != UINT32_MAX)
		complete(msix, index, witness);
	pthread_mutex_unlock(&msix->lock);
}

void msix_signal(struct msix *msix, uint32_t index, const struct witness *witness)
{
	if (index >= msix->config.vectors)
		return;
	pthread_mutex_lock(&msix->lock);
	deliver(msix, index, witness);
	pthread_mutex_unlock(&msix->lock);
}

/* ---- resets ---- */

void msix_reset_permissions(struct msix *msix)
{
	pthread_mutex_lock(&msix->lock);
	for (uint32_t i = 0; i < msix->config.vectors; i++) {
		msix->vectors[i].perm = 0;
		msix->vectors[i].requested = false;
		msix->vectors[i].pending = false;
	}
	wait_all_sent(msix);
	pthread_mutex_unlock(&msix->lock);
}

void msix_reset(struct msix *msix)
{
	pthread_mutex_lock(&msix->lock);
	msix->enabled = false;
	msix->function_mask = false;
	msix->bus_master = false;
	for (uint32_t i = 0; i < msix->config.vectors; i++)
		vector_reset(&msix->vectors[i]);
	wait_all_sent(msix);
	pthread_mutex_unlock(&msix->lock);
}
