/* eventlog.c - registers and entries of the event log (DSA specification 5.9, 9.2.17, 9.2.18). It reaches no memory itself. */
#include "eventlog.h"

#include <string.h>

#define CFG_BASE (~0xFFFull)
#define CFG_PASID_EN (1ull << 0)
#define CFG_PRIV (1ull << 1)
#define CFG_WORD0 (CFG_BASE | CFG_PASID_EN | CFG_PRIV)
#define CFG_SIZE(log) ((uint32_t)((log)->cfg[1] & 0xFFFF))
#define CFG_WORD1 0xFFFFFFFFFull /* size, PASID */
#define STATUS_PENDING (1u << 30) /* in the upper dword of EVLSTATUS */

enum { SMALLEST = 64 };
enum { WORD_CFG1 = 8, WORD_STATUS = 16 };

const struct error_report event_log_failure = { .swerror = { SWERROR_VALID | (uint64_t)SWERR_EVENT_LOG << 8 } };

void event_log_reset(struct event_log *log)
{
	memset(log->cfg, 0, sizeof(log->cfg));
	log->on = false;
}

enum command_error event_log_check(const struct event_log *log, uint32_t gencfg)
{
	const uint64_t base = log->cfg[0] & CFG_BASE, bytes = (uint64_t)CFG_SIZE(log) * EVL_ENTRY_SIZE;

	if (!(gencfg & GENCFG_EVENT_LOG))
		return CMDERR_NONE;
	if (CFG_SIZE(log) < SMALLEST || base + (bytes - 1) < base)
		return CMDERR_EVENT_LOG;
	return log->cfg[0] & (CFG_PASID_EN | CFG_PRIV) ? CMDERR_PASID : CMDERR_NONE;
}

void event_log_enable(struct event_log *log, uint32_t gencfg)
{
	log->on = gencfg & GENCFG_EVENT_LOG;
	if (!log->on)
		return;
	log->head = log->tail = 0;
	log->pending = false;
}

uint64_t event_log_read(const struct event_log *log, uint64_t offset)
{
	if (offset < WORD_STATUS)
		return log->cfg[offset / 8];
	return log->head | (uint64_t)log->tail << 32 | (log->pending ? (uint64_t)STATUS_PENDING << 32 : 0);
}

static void write_cfg(struct event_log *log, uint64_t offset, uint32_t value, uint32_t lanes)
{
	const unsigned shift = offset % 8 * 8;
	uint64_t *word = &log->cfg[offset / 8];
	const uint64_t mask = (uint64_t)lanes << shift & (offset < WORD_CFG1 ? CFG_WORD0 : CFG_WORD1);

	*word = (*word & ~mask) | ((uint64_t)value << shift & mask);
}

void event_log_write(struct event_log *log, uint64_t offset, uint32_t value, uint32_t lanes, bool disabled)
{
	if (offset < WORD_STATUS) {
		if (disabled)
			write_cfg(log, offset, value, lanes);
	} else if (offset == WORD_STATUS) {
		log->head = ((log->head & ~lanes) | (value & lanes)) & 0xFFFF;
	} else if (value & lanes & STATUS_PENDING) { /* W1C */
		log->pending = false;
	}
}

static uint32_t after(const struct event_log *log, uint32_t index)
{
	return index + 1 >= CFG_SIZE(log) ? 0 : index + 1;
}

/* A head that is outside the log is never reached: the log goes round, and overwrites itself. Software hurts itself only. */
bool event_log_place(const struct event_log *log, uint64_t *address)
{
	*address = (log->cfg[0] & CFG_BASE) + (uint64_t)log->tail * EVL_ENTRY_SIZE;
	return after(log, log->tail) != log->head;
}

void event_log_entry(const struct error_report *report, uint8_t entry[EVL_ENTRY_SIZE])
{
	uint64_t words[4] = { report->swerror[0] & ~(SWERROR_VALID | SWERROR_OVERFLOW), report->swerror[1] | report->more,
			      report->swerror[2], 0 };

	if (report->more)
		words[0] |= SWERROR_INFO_VALID;
	memcpy(entry, words, sizeof(words));
	memcpy(entry + sizeof(words), report->record, CR_SIZE);
}

bool event_log_appended(struct event_log *log, uint32_t genctrl)
{
	const bool due = (genctrl & GENCTRL_EVENT_LOG_INT) && !log->pending;

	log->tail = after(log, log->tail);
	log->pending |= due;
	return due;
}
