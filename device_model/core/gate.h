/*
 * gate.h - a way in that can be shut: who shuts it returns when everybody has left, and nobody comes in any more.
 *
 * To enter and to leave is one atomic step each while the gate is open. The mutex and the condition that the owner gives are
 * only touched by who shuts the gate and by those who leave it when it is shut; one pair may serve many gates. A gate of
 * zeros is shut.
 */
#ifndef VDSA_CORE_GATE_H
#define VDSA_CORE_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define GATE_OPEN (UINT32_C(1) << 31) /* the bits below: how many are inside */

struct gate {
	_Atomic uint32_t state;
};

/* False: it is shut. Else gate_leave must follow, and what was written before gate_open is seen. */
static inline bool gate_enter(struct gate *gate)
{
	uint32_t state = atomic_load_explicit(&gate->state, memory_order_relaxed);

	do {
		if (!(state & GATE_OPEN))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&gate->state, &state, state + 1, memory_order_acquire,
							memory_order_relaxed));
	return true;
}

static inline void gate_leave(struct gate *gate, pthread_mutex_t *lock, pthread_cond_t *left)
{
	uint32_t state = atomic_load_explicit(&gate->state, memory_order_relaxed);

	while (state & GATE_OPEN)
		if (atomic_compare_exchange_weak_explicit(&gate->state, &state, state - 1, memory_order_release,
							  memory_order_relaxed))
			return;
	/* Who shuts it may free it when the last has left: so the last step is made with the lock that he waits for. */
	pthread_mutex_lock(lock);
	if ((atomic_fetch_sub_explicit(&gate->state, 1, memory_order_release) & ~GATE_OPEN) == 1)
		pthread_cond_broadcast(left);
	pthread_mutex_unlock(lock);
}

/* Lock held. */
static inline void gate_open(struct gate *gate)
{
	atomic_fetch_or_explicit(&gate->state, GATE_OPEN, memory_order_release);
}

/* Lock held. Nobody comes in any more. False: somebody is still inside; wait for the condition, and look again. */
static inline bool gate_try_shut(struct gate *gate)
{
	return (atomic_fetch_and_explicit(&gate->state, ~GATE_OPEN, memory_order_acquire) & ~GATE_OPEN) == 0;
}

/* Lock held; given up while it waits. If another thread opens the gate meanwhile, it is shut again. */
static inline void gate_shut(struct gate *gate, pthread_mutex_t *lock, pthread_cond_t *left)
{
	while (!gate_try_shut(gate))
		pthread_cond_wait(left, lock);
}

#endif
