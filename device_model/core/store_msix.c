/*
 * store_msix.c - organisation `msix`: the MSI-X table that the device has anyway, and a PASID for each vector in the table beside it
 * (MSIXPERM, DSA specification 9.2.22). Vector 0 is the device's own. Table, check and messages are in msix.c, and the handles
 * come by another portal; here is only what virtual devices ask of any store.
 */
#include <stdlib.h>

#include "msix.h"
#include "store_internal.h"

struct store_msix {
	struct store store;
	struct msix *msix;
};

static struct msix *msix_of(struct store *store)
{
	return ((struct store_msix *)store)->msix;
}

static void destroy(struct store *store)
{
	free(store);
}

static bool has_entry(struct store *store, uint32_t entry)
{
	return entry >= 1 && entry < msix_num_vectors(msix_of(store));
}

/* Table, pending bits and permissions are registers of the device. */
static uint64_t size(const struct store *store)
{
	(void)store;
	return 0;
}

/* The device resets its table itself. */
static void reset(struct store *store)
{
	(void)store;
}

static void set_requested(struct store *store, uint32_t entry, bool requested)
{
	if (requested)
		msix_request_handle(msix_of(store), entry);
	else
		msix_release_handle(msix_of(store), entry);
}

static void wait_sent(struct store *store, uint32_t entry)
{
	msix_wait(msix_of(store), entry);
}

static void set_ignore(struct store *store, uint32_t entry, bool ignore)
{
	msix_set_ignore(msix_of(store), entry, ignore);
}

static bool pending(struct store *store, uint32_t entry)
{
	return msix_read_pba(msix_of(store), entry / 64) >> entry % 64 & 1;
}

static const struct store_ops ops = {
	.destroy = destroy,
	.has_entry = has_entry,
	.size = size,
	.reset = reset,
	.set_requested = set_requested,
	.wait_sent = wait_sent,
	.set_ignore = set_ignore,
	.pending = pending,
};

struct store *store_msix_create(const struct store_config *config, struct ledger *ledger)
{
	struct store_msix *store;

	if (config->entries != 0 || !config->msix)
		return NULL;
	store = calloc(1, sizeof(*store));
	if (!store)
		return NULL;
	store->store = (struct store){ .ops = &ops, .organisation = STORE_MSIX, .ledger = ledger };
	store->msix = config->msix;
	return &store->store;
}
