/* stress_waiters.c - the order in which the ends of work queue commands are told, whoever comes when. One thread, no chance. */
#include <string.h>

#include "../../core/idxd.h"
#include "check.h"

struct told {
	struct wq_waiter waiter;
	unsigned calls;
};

static struct idxd *idxd;
static struct told first, second;
static bool first_returned;

static void no_message(void *ctx, const struct interrupt_message *message)
{
	(void)ctx;
	(void)message;
}

static bool no_memory(void *ctx, bool enable, uint32_t pasid, struct dma_space *space)
{
	(void)ctx, (void)enable, (void)pasid, (void)space;
	return false;
}

static void no_error(void *ctx, uint32_t wq, const struct error_report *report)
{
	(void)ctx, (void)wq, (void)report;
}

static struct ledger *bring_up(void)
{
	const struct idxd_config config = { .num_wqs = 1, .total_wq_size = 8, .num_ims = 256, .max_xfer_log2 = 21, .max_batch_log2 = 5, .num_groups = 1, .num_engines = 1 };
	const struct idxd_ports ports = { .message = no_message, .dma_enter = no_memory, .error = no_error };
	struct ledger *ledger = ledger_create(64);

	CHECK(ledger);
	idxd = idxd_create(&config, &ports, ledger);
	CHECK(idxd);
	idxd_bar0_write(idxd, 0x800, 4, 8);
	idxd_bar0_write(idxd, 0x600, 8, 1);
	idxd_bar0_write(idxd, 0x620, 8, 1);
	idxd_bar0_write(idxd, REG_CMD, 4, CMD_ENABLE_DEVICE << 20);
	idxd_bar0_write(idxd, 0x808, 4, 1 | 1 << 4);
	idxd_bar0_write(idxd, 0x80C, 4, 21 | 5 << 5);
	CHECK_EQUAL(idxd_wq_enable(idxd, 0), CMDERR_NONE);
	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	first_returned = false;
	return ledger;
}

static void end(struct ledger *ledger)
{
	idxd_destroy(idxd);
	ledger_destroy(ledger);
}

static void submit_noop(void)
{
	const uint8_t desc[64] = { 0 };

	idxd_submit(idxd, 0, PORTAL_IMS, desc, 1);
}

static void second_done(struct wq_waiter *waiter)
{
	(void)waiter;
	second.calls++;
	CHECK(first_returned || first.calls == 0);
}

/* While the first is being told, the host resets the queue, as it does before it frees what `first` belongs to. */
static void first_done(struct wq_waiter *waiter)
{
	(void)waiter;
	first.calls++;
	second.waiter = (struct wq_waiter){ .done = second_done };
	CHECK_EQUAL(idxd_wq_start(idxd, 0, WQ_RESET, &second.waiter), CMDERR_NONE);
	CHECK_EQUAL(second.calls, 0);
	first_returned = true;
}

static void a_command_ends_only_after_those_before_it_have_been_told(void)
{
	struct ledger *ledger = bring_up();

	submit_noop();
	first.waiter = (struct wq_waiter){ .done = first_done };
	CHECK_EQUAL(idxd_wq_start(idxd, 0, WQ_DRAIN, &first.waiter), CMDERR_NONE);
	CHECK_EQUAL(first.calls, 0);
	CHECK(idxd_engine_step(idxd, 0));
	CHECK_EQUAL(first.calls, 1);
	CHECK_EQUAL(second.calls, 1);
	CHECK_EQUAL(idxd_wq_state(idxd, 0), WQ_DISABLED);
	end(ledger);
}

static void enable_when_told(struct wq_waiter *waiter)
{
	(void)waiter;
	first.calls++;
	CHECK_EQUAL(idxd_wq_state(idxd, 0), WQ_DISABLED);
	CHECK_EQUAL(idxd_wq_enable(idxd, 0), first.calls == 1 ? CMDERR_WQ_NOT_DISABLED : CMDERR_NONE);
}

static void a_queue_that_others_still_wait_for_cannot_be_enabled(void)
{
	struct ledger *ledger = bring_up();

	submit_noop();
	first.waiter = (struct wq_waiter){ .done = enable_when_told };
	second.waiter = first.waiter;
	CHECK_EQUAL(idxd_wq_start(idxd, 0, WQ_DISABLE, &first.waiter), CMDERR_NONE);
	CHECK_EQUAL(idxd_wq_start(idxd, 0, WQ_DISABLE, &second.waiter), CMDERR_NONE);
	CHECK(idxd_engine_step(idxd, 0));
	CHECK_EQUAL(first.calls, 2);
	CHECK_EQUAL(idxd_wq_state(idxd, 0), WQ_ENABLED);
	end(ledger);
}

static void told(struct wq_waiter *waiter)
{
	struct told *self = waiter->ctx;

	self->calls++;
}

static void a_drain_ends_with_what_was_queued_before_it(void)
{
	struct ledger *ledger = bring_up();

	submit_noop();
	first.waiter = (struct wq_waiter){ .done = told, .ctx = &first };
	CHECK_EQUAL(idxd_wq_start(idxd, 0, WQ_DRAIN, &first.waiter), CMDERR_NONE);
	submit_noop();
	second.waiter = (struct wq_waiter){ .done = told, .ctx = &second };
	CHECK_EQUAL(idxd_wq_start(idxd, 0, WQ_DRAIN, &second.waiter), CMDERR_NONE);
	CHECK(idxd_engine_step(idxd, 0));
	CHECK_EQUAL(first.calls, 1);
	CHECK_EQUAL(second.calls, 0);
	CHECK(idxd_engine_step(idxd, 0));
	CHECK_EQUAL(second.calls, 1);
	CHECK(!idxd_engine_step(idxd, 0));
	end(ledger);
}

int main(void)
{
	RUN(a_command_ends_only_after_those_before_it_have_been_told);
	RUN(a_queue_that_others_still_wait_for_cannot_be_enabled);
	RUN(a_drain_ends_with_what_was_queued_before_it);
	return 0;
}
