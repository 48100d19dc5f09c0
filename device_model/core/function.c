/* function.c - the device as a PCI function: its interrupts, bus mastering, halt and function-level reset. */
#include <string.h>

#include "idxd_internal.h"

/* Without handle commands every entry may be named. */
static void open_entries(struct idxd *idxd)
{
	if (capabilities_command(idxd, CMD_REQUEST_INT_HANDLE))
		return;
	for (uint32_t i = 0; i < idxd->config.num_ims; i++)
		store_request_handle(idxd->store, i);
}

static void power_on(struct idxd *idxd)
{
	registers_reset(idxd);
	idxd->cmdstatus = 0;
	memset(idxd->swerror, 0, sizeof(idxd->swerror));
	memset(&idxd->event_log, 0, sizeof(idxd->event_log));
	idxd->bus_master = idxd->config.num_msix == 0;
}

static struct interrupt_sink sink_of(struct idxd *idxd)
{
	return (struct interrupt_sink){ .ctx = idxd->ports.ctx, .message = idxd->ports.message };
}

/* Where the table is the message store, its vectors are the store's entries in the ledger. */
static struct msix *make_msix(struct idxd *idxd)
{
	const struct interrupt_sink sink = sink_of(idxd);
	uint32_t entries[MSIX_MAX_VECTORS];
	const struct msix_config config = {
		.vectors = idxd->config.num_msix,
		.handles = capabilities_command(idxd, CMD_REQUEST_INT_HANDLE),
		.fired = LEDGER_FIRED,
		.pended = LEDGER_PENDED,
		.entries = idxd->config.organisation == STORE_MSIX ? entries : NULL,
	};

	for (uint32_t i = 0; i < MSIX_MAX_VECTORS; i++)
		entries[i] = i;
	return msix_create(&config, &sink, idxd->ledger);
}

static struct store *make_store(struct idxd *idxd)
{
	const struct interrupt_sink sink = sink_of(idxd);
	const struct store_config config = {
		.organisation = idxd->config.organisation,
		.entries = idxd->config.num_ims,
		.num_wqs = idxd->config.num_wqs,
		.memory = idxd->ports.memory,
		.msix = idxd->msix,
	};

	return store_create(&config, &sink, idxd->ledger);
}

bool function_create(struct idxd *idxd)
{
	const bool wants_store = idxd->config.organisation != STORE_ARRAY || idxd->config.num_ims > 0;

	capabilities_create(idxd);
	if (idxd->config.num_msix > 0) {
		idxd->msix = make_msix(idxd);
		if (!idxd->msix)
			return false;
	}
	if (wants_store) {
		idxd->store = make_store(idxd);
		if (!idxd->store)
			return false;
	}
	if (pthread_cond_init(&idxd->settled, NULL) != 0)
		return false;
	open_entries(idxd);
	power_on(idxd);
	return true;
}

void function_destroy(struct idxd *idxd)
{
	pthread_cond_destroy(&idxd->settled);
}

void function_wipe_interrupts(struct idxd *idxd)
{
	if (idxd->msix)
		msix_reset_permissions(idxd->msix);
	store_reset(idxd->store);
	open_entries(idxd);
}

void idxd_set_msix(struct idxd *idxd, bool enabled, bool function_mask)
{
	if (idxd->msix)
		msix_set_capability(idxd->msix, enabled, function_mask);
}

void idxd_set_bus_master(struct idxd *idxd, bool on)
{
	bool lost;

	pthread_mutex_lock(&idxd->lock);
	lost = idxd->bus_master && !on;
	idxd->bus_master = on;
	pthread_mutex_unlock(&idxd->lock);
	/* The MSI-X table first: the interrupt of the halt needs bus mastering, and stays pending. */
	if (idxd->msix)
		msix_set_bus_master(idxd->msix, on);
	if (lost)
		idxd_halt(idxd);
}

/* Lock held. A device that is being reset is on its way to Disabled, and only finishes that. */
static bool begin_halt(struct idxd *idxd)
{
	const bool reset_command = (idxd->cmdstatus & CMDSTATUS_ACTIVE) && idxd->cmd_code == CMD_RESET_DEVICE;

	if (idxd->state == DEVICE_DISABLED || idxd->state == DEVICE_HALTED || idxd->resetting || reset_command)
		return false;
	idxd->state = DEVICE_HALTED;
	return true;
}

void idxd_halt(struct idxd *idxd)
{
	const struct error_report report = { .swerror = { SWERROR_VALID | (uint64_t)SWERR_PCI_CONFIG << 8 } };
	bool halted;

	pthread_mutex_lock(&idxd->lock);
	halted = begin_halt(idxd);
	pthread_mutex_unlock(&idxd->lock);
	if (!halted)
		return;
	for (uint32_t i = 0; i < idxd->config.num_wqs; i++)
		(void)idxd_wq_command(idxd, i, WQ_ABORT); /* a queue that is disabled is quiet */
	registers_error(idxd, UINT32_MAX, &report);
	pthread_mutex_lock(&idxd->lock);
	if (idxd->genctrl & GENCTRL_HALT_INT)
		registers_raise(idxd, INTCAUSE_HALT);
	pthread_mutex_unlock(&idxd->lock);
}

/* ---- function-level reset ---- */

/* Lock held; given up while it waits. No descriptor and no command is taken from now on. */
static void begin_flr(struct idxd *idxd)
{
	while (idxd->resetting)
		pthread_cond_wait(&idxd->settled, &idxd->lock);
	idxd->resetting = true;
	idxd->state = DEVICE_DRAINING;
}

/* Lock held; given up while it waits for the end of the command in progress, and of interrupts half raised. */
static void await_settled(struct idxd *idxd)
{
	while ((idxd->cmdstatus & CMDSTATUS_ACTIVE) || idxd->raising > 0)
		pthread_cond_wait(&idxd->settled, &idxd->lock);
}

void idxd_flr(struct idxd *idxd)
{
	pthread_mutex_lock(&idxd->lock);
	begin_flr(idxd);
	pthread_mutex_unlock(&idxd->lock);
	if (idxd->msix)
		msix_reset(idxd->msix); /* from here on, no message leaves */
	for (uint32_t i = 0; i < idxd->config.num_wqs; i++)
		(void)idxd_wq_command(idxd, i, WQ_RESET);
	pthread_mutex_lock(&idxd->lock);
	await_settled(idxd);
	pthread_mutex_unlock(&idxd->lock);
	if (idxd->msix)
		msix_reset(idxd->msix); /* what became pending since */
	function_wipe_interrupts(idxd);
	pthread_mutex_lock(&idxd->lock);
	power_on(idxd);
	idxd->resetting = false;
	pthread_cond_broadcast(&idxd->settled);
	pthread_mutex_unlock(&idxd->lock);
}
