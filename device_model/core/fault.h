/*
 * fault.h - places where a defect of the hardware can be planted on purpose, to see whether it is noticed.
 *
 * In the build that ships every FAULT() is the constant 0: there is nothing to switch on. Only the build with
 * VDSA_PLANTED_FAULTS, made by the negative controls for themselves, has idxd_plant_fault().
 */
#ifndef VDSA_CORE_FAULT_H
#define VDSA_CORE_FAULT_H

enum planted_fault {
	FAULT_NONE = 0,
	FAULT_PASID_CHECK_SKIPPED = 1,       /* entry's PASID not compared                              */
	FAULT_PASID_ENABLE_IGNORED = 2,      /* entry without PASID Enable is open to every work queue  */
	FAULT_CHECK_AFTER_EXECUTION = 3,     /* operation executed before the handle is checked         */
	FAULT_PENDING_ON_REFUSAL = 4,        /* a refused interrupt still sets Pending of the entry     */
	FAULT_MASK_IGNORED = 5,              /* a masked entry sends its message                        */
	FAULT_HANDLE_STATE_IGNORED = 6,      /* never requested and released handles are taken          */
	FAULT_MEMBER_PASID_SKIPPED = 7,      /* entry's PASID not compared for members of a batch       */
	FAULT_BOUND_UNCHECKED = 8,           /* an index behind the end of a table is taken             */
	/* No defect: an engine waits with an interrupt that has been granted, and with all behind it, until something else is planted. */
	HOLD_MESSAGES = 256,
};

#ifdef VDSA_PLANTED_FAULTS
#define FAULT(planted, which) ((planted) == (which))
#else
#define FAULT(planted, which) ((void)(planted), 0)
#endif

#endif
