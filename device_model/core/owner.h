/*
 * owner.h - the one check of all organisations of the message store that have a PASID for each entry, wherever they keep it: in the
 * entry, in memory, or in a table beside (DSA specification 5.4, table 5-2). Table has none, and its own check (store_table.c).
 */
#ifndef VDSA_CORE_OWNER_H
#define VDSA_CORE_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "ledger.h"
#include "message.h"

/* What an entry says of its owner. */
struct owner {
	bool requested; /* a handle of it was returned and not released */
	bool pasid_enable;
	uint32_t pasid;
};

static inline bool owner_pasid_skipped(uint32_t planted, const struct witness *witness)
{
	return FAULT(planted, FAULT_PASID_CHECK_SKIPPED) ||
	       (FAULT(planted, FAULT_MEMBER_PASID_SKIPPED) && (witness->flags & LEDGER_F_MEMBER));
}

/* May a descriptor of a work queue with this PASID Enable, and the witness's PASID, use the entry? */
static inline enum refusal owner_judge(const struct owner *owner, const struct witness *witness, bool pasid_enable, uint32_t planted)
{
	if (!owner->requested && !FAULT(planted, FAULT_HANDLE_STATE_IGNORED))
		return REFUSAL_NOT_REQUESTED;
	if (owner->pasid_enable != pasid_enable && !FAULT(planted, FAULT_PASID_ENABLE_IGNORED))
		return REFUSAL_PASID_ENABLE;
	if (owner->pasid_enable && owner->pasid != witness->pasid && !owner_pasid_skipped(planted, witness))
		return REFUSAL_PASID;
	return REFUSAL_NONE;
}

#endif
