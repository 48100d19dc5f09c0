/*
 * eventlog.h - errors that have no completion record to go to, and the event log in memory where software may have them instead
 * of in SWERROR (DSA specification 5.9, 9.2.16 - 9.2.18).
 *
 * Of the physical device and of virtual ones: each has one, guarded by the lock of whoever has it.
 */
#ifndef VDSA_CORE_EVENTLOG_H
#define VDSA_CORE_EVENTLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "formats.h"
#include "regs.h"

/* An error (5.8). */
struct error_report {
	uint64_t swerror[4];     /* in the format of SWERROR (9.2.16), Valid set */
	uint64_t more;           /* bits that only the second word of an entry in the log has: EVL_MORE_* */
	uint8_t record[CR_SIZE]; /* the completion record that could not be written (0x1a); else zeros */
};

#define EVL_MORE_HANDLE(handle) ((uint64_t)(handle) << 32)
#define EVL_MORE_RCI (1ull << 48)
#define EVL_MORE_IMS (1ull << 49)
#define EVL_MORE_RCR (1ull << 50)

enum { EVL_ENTRY_SIZE = 64 };

struct event_log {
	uint64_t cfg[2];     /* EVLCFG */
	uint32_t head, tail; /* in EVLSTATUS */
	bool pending;        /* Interrupt Pending of EVLSTATUS */
	bool on;             /* Event Log Enable was set when the device was enabled */
};

/* EVLCFG as at reset; EVLSTATUS stays (3.15). */
void event_log_reset(struct event_log *log);
/* What Enable Device finds wrong with it. No device here has a PASID capability. */
enum command_error event_log_check(const struct event_log *log, uint32_t gencfg);
/* The device is being enabled, all checks have passed. */
void event_log_enable(struct event_log *log, uint32_t gencfg);

/* EVLCFG and EVLSTATUS. offset: of the 64-bit word, or when written of the dword, from EVLCFG on. */
uint64_t event_log_read(const struct event_log *log, uint64_t offset);
/* disabled: the device is; only then EVLCFG can be written. */
void event_log_write(struct event_log *log, uint64_t offset, uint32_t value, uint32_t lanes, bool disabled);

/* Errors of descriptors go to a log that is on; all others to SWERROR alone (table 5-7). */
static inline bool event_log_takes(const struct event_log *log, const struct error_report *report)
{
	return log->on && (report->swerror[0] & SWERROR_DESC_VALID);
}

/* Where the next entry goes. False: the log is full (GENCAP[32]: the event is dropped). */
bool event_log_place(const struct event_log *log, uint64_t *address);
void event_log_entry(const struct error_report *report, uint8_t entry[EVL_ENTRY_SIZE]);
/* The entry is in memory. True: an interrupt is due, if GENCTRL wants it. */
bool event_log_appended(struct event_log *log, uint32_t genctrl);
/* What SWERROR tells of an event that could not be appended. */
extern const struct error_report event_log_failure;

#endif
