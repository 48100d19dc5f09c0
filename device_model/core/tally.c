#include "tally.h"

#include "formats.h"

static struct tally_entry **bucket(struct tallies *tallies, uint32_t id)
{
	return &tallies->buckets[id % TALLY_BUCKETS];
}

void tallies_add(struct tallies *tallies, struct tally_entry *entry)
{
	entry->next = *bucket(tallies, entry->id);
	*bucket(tallies, entry->id) = entry;
}

void tallies_remove(struct tallies *tallies, struct tally_entry *entry)
{
	for (struct tally_entry **link = bucket(tallies, entry->id); *link; link = &(*link)->next) {
		if (*link == entry) {
			*link = entry->next;
			return;
		}
	}
}

static uint64_t *completion(struct tally *tally, uint8_t status)
{
	const uint8_t false_predicate = 0x02;

	if (status == STATUS_SUCCESS || status == false_predicate)
		return &tally->succeeded;
	return status == STATUS_HANDLE ? &tally->refused : &tally->failed;
}

/* Where a record counts; NULL: it does not. */
static uint64_t *field(struct tally *tally, uint8_t kind, uint8_t status)
{
	switch (kind) {
	case LEDGER_ACCEPTED:
		return &tally->accepted;
	case LEDGER_DROPPED:
		return &tally->dropped;
	case LEDGER_ABORTED:
		return &tally->aborted;
	case LEDGER_COMPLETED:
		return completion(tally, status);
	case LEDGER_INJECTED:
		return &tally->injected;
	case LEDGER_PENDED:
	case LEDGER_VM_PENDED:
		return &tally->pended;
	case LEDGER_IGNORED:
		return &tally->ignored;
	default:
		return NULL;
	}
}

/* From the remapping on an interrupt is its target's; before, everything is the requester's. */
void tallies_count(struct tallies *tallies, const struct ledger_record *record)
{
	const uint32_t id = record->target ? record->target : record->requester;

	for (struct tally_entry *entry = *bucket(tallies, id); entry; entry = entry->next) {
		uint64_t *count = entry->id == id ? field(&entry->counts, record->kind, record->status) : NULL;

		if (count)
			++*count;
	}
}

/* Most of them end well: those are counted on the way. */
static void count_notes(struct tally *tally, const struct ledger_note *notes, size_t count)
{
	uint64_t accepted = 0, succeeded = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t *number;

		accepted += notes[i].after_accepted;
		if (notes[i].kind == LEDGER_COMPLETED && notes[i].status == STATUS_SUCCESS) {
			succeeded++;
			continue;
		}
		number = field(tally, notes[i].kind, notes[i].status);
		if (number)
			++*number;
	}
	tally->accepted += accepted;
	tally->succeeded += succeeded;
}

void tallies_count_notes(struct tallies *tallies, uint32_t requester, const struct ledger_note *notes, size_t count)
{
	for (struct tally_entry *entry = *bucket(tallies, requester); entry; entry = entry->next)
		if (entry->id == requester)
			count_notes(&entry->counts, notes, count);
}
