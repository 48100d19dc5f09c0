/*
 * What the agent and the host write into each other's hands: one block of guest RAM at the symbol agent_shared.
 * guest_tests/agent_abi.py is the mirror of this file; a test compares the two through the ELF's debug information.
 *
 * Doorbells are single bytes on the serial line (enum agent_event from the agent, any byte from the host). They carry
 * no information that is not in the block: a reader looks at the block after each byte.
 */
#ifndef AGENT_ABI_H
#define AGENT_ABI_H

#include <stddef.h>
#include <stdint.h>

#define AGENT_MAGIC 0x31746e6567617664ull /* "dvagent1" */

enum agent_limit {
    AGENT_ABI_VERSION = 1,
    AGENT_SLOTS = 8,
    AGENT_BARS = 6,
    AGENT_VECTORS = 256,
    AGENT_RING = 1024,
    AGENT_ITEMS = 1024,
    AGENT_HANDLES = 256,
};

/* CPU vectors with a fixed use; those from DEVICE up to SPURIOUS - 1 are given to devices by ENABLE. */
enum agent_vector {
    AGENT_VECTOR_HOTPLUG = 0x20, /* + slot */
    AGENT_VECTOR_UART = 0x28,
    AGENT_VECTOR_TIMER = 0x29,
    AGENT_VECTOR_DEVICE = 0x30,
    AGENT_VECTOR_SPURIOUS = 0xff,
};

enum agent_event {
    AGENT_EVENT_SLOT = 0x00, /* + slot: its block has changed */
    AGENT_EVENT_READY = 0x40,
    AGENT_EVENT_ANSWER = 0x41,
    AGENT_EVENT_CRASH = 0x42,
};

enum agent_stage {
    AGENT_STAGE_NONE = 0,
    AGENT_STAGE_ENTERED = 1,
    AGENT_STAGE_TABLES = 2,
    AGENT_STAGE_PORTS = 3,
    AGENT_STAGE_READY = 4,
    AGENT_STAGE_CRASHED = 5,
};

enum agent_config_flag {
    AGENT_CONFIG_IGNORE_ATTENTION = 1, /* a guest that does not answer device_del */
    AGENT_CONFIG_IGNORE_PRESENCE = 2,  /* a guest that leaves new devices without power */
    AGENT_CONFIG_MAPPED_PORTAL = 4,    /* portals are memory: a slot is free when its first 8 bytes are 0, and they are stored last */
};

enum agent_op {
    AGENT_OP_NOP = 0,
    AGENT_OP_ENABLE = 1,        /* vectors, vector base, steps, WQ */
    AGENT_OP_DISABLE = 2,       /* steps, WQ */
    AGENT_OP_COMMAND = 3,       /* CMD value -> CMDSTATUS */
    AGENT_OP_MMIO_READ = 4,     /* BAR, offset, size -> value */
    AGENT_OP_MMIO_WRITE = 5,    /* BAR, offset, size, value */
    AGENT_OP_CONFIG_READ = 6,   /* offset, size -> value */
    AGENT_OP_CONFIG_WRITE = 7,  /* offset, size, value */
    AGENT_OP_VECTOR_MASK = 8,   /* MSI-X entry, 0 or 1 -> vector control as read back */
    AGENT_OP_FUNCTION_MASK = 9, /* 0 or 1 -> message control as read back */
    AGENT_OP_SUBMIT = 10,       /* first, count, BAR, portal offset, window -> retired, sent */
    AGENT_OP_SPIN = 11,         /* item, BAR, portal offset, maximum -> fired */
    AGENT_OP_EJECT = 12,        /* power the slot off unasked */
    AGENT_OP_FAULT = 13,        /* enum agent_fault */
};

enum agent_result {
    AGENT_RESULT_OK = 0,
    AGENT_RESULT_BAD_ARGUMENT = 1,
    AGENT_RESULT_NO_DEVICE = 2,
    AGENT_RESULT_TIMEOUT = 3,
    AGENT_RESULT_DEVICE_ERROR = 4, /* step and detail (CMDSTATUS) say which */
    AGENT_RESULT_GONE = 5,         /* the device left, or reads as all ones, while the command ran */
    AGENT_RESULT_VECTORS_TAKEN = 6,
    AGENT_RESULT_RESET = 7, /* the guest was reset while the command was outstanding */
};

/* What the agent is doing, or did last, in a command. The first six are also bits (1 << step) of ENABLE and DISABLE. */
enum agent_step {
    AGENT_STEP_MSIX = 0,
    AGENT_STEP_GENCTRL = 1,
    AGENT_STEP_DEVICE = 2,
    AGENT_STEP_WQ = 3,
    AGENT_STEP_HANDLES = 4,
    AGENT_STEP_ACCESS = 5,
    AGENT_STEP_SEND = 6,
    AGENT_STEP_COMPLETION = 7,
    AGENT_STEP_INTERRUPT = 8,
    AGENT_STEP_DONE = 9,
};

enum agent_fault {
    AGENT_FAULT_INVALID_OPCODE = 0,
    AGENT_FAULT_PAGE = 1,
    AGENT_FAULT_TRIPLE = 2,
    AGENT_FAULT_HANG = 3,
    AGENT_FAULT_STACK = 4,
};

enum agent_slot_state {
    AGENT_SLOT_NO_PORT = 0,
    AGENT_SLOT_EMPTY = 1,
    AGENT_SLOT_PRESENT = 2,
    AGENT_SLOT_FAILED = 3,
};

enum agent_slot_error {
    AGENT_SLOT_ERROR_NONE = 0,
    AGENT_SLOT_ERROR_NO_ANSWER = 1, /* powered, but configuration space reads as all ones */
    AGENT_SLOT_ERROR_BAR_SIZE = 2,  /* a BAR does not fit the slot's addresses */
};

enum agent_item_flag {
    AGENT_ITEM_WAIT_COMPLETION = 1,
};

enum agent_item_result {
    AGENT_ITEM_UNTOUCHED = 0,
    AGENT_ITEM_SENT = 1, /* nothing was to be waited for */
    AGENT_ITEM_DONE = 2,
    AGENT_ITEM_NO_COMPLETION = 3,
    AGENT_ITEM_NO_INTERRUPT = 4,
    AGENT_ITEM_GONE = 5,
};

#define AGENT_NO_VECTOR 0xffffffffu

struct agent_config {
    uint32_t flags;   /* enum agent_config_flag; read at each event */
    uint32_t spin_us; /* how long a wait polls before it halts the CPU between looks; 0: the agent's default */
    uint64_t reserved[7];
};

struct agent_crash {
    uint32_t valid; /* boot number in which it happened; 0: none */
    uint32_t vector;
    uint64_t error_code;
    uint64_t rip;
    uint64_t cs;
    uint64_t rflags;
    uint64_t rsp;
    uint64_t cr2;
    uint64_t cr3;
    uint64_t general[15]; /* rax rbx rcx rdx rsi rdi rbp r8 .. r15 */
    uint32_t op;          /* enum agent_op in progress, or 0xffffffff */
    uint32_t was_message; /* the vector came as an interrupt message and is no exception at all */
    uint64_t tsc;
};

struct agent_command {
    uint32_t seq; /* written last by the host */
    uint32_t op;
    uint32_t slot;
    uint32_t timeout_us;
    uint64_t arg[6];
    uint32_t stop; /* ends SPIN */
    uint32_t reserved[15];
};

struct agent_answer {
    uint32_t seq; /* written last by the agent */
    uint32_t result;
    uint32_t step;
    uint32_t detail;
    uint64_t value[4];
    uint64_t progress; /* items retired or fired, live */
    uint64_t tsc_start;
    uint64_t tsc_end;
    uint64_t reserved;
};

/* Outcome of the last ENABLE and DISABLE. Statuses are CMDSTATUS as read; 0xffffffff: the step was not reached. */
struct agent_enable {
    uint32_t device_status;
    uint32_t wq_status;
    uint32_t handle_status[AGENT_HANDLES]; /* by MSI-X index */
    uint32_t handle[AGENT_HANDLES];
};

struct agent_slot {
    uint32_t state;
    uint32_t generation; /* + 1 at each change of state */
    uint32_t error;
    uint32_t devfn; /* of the root port, on bus 0 */
    uint32_t physical_slot;
    uint16_t vendor;
    uint16_t device;
    uint32_t class_revision;
    uint32_t is_idxd;
    uint32_t vector_base; /* CPU vector of MSI-X entry 0, after ENABLE */
    uint32_t vector_count;
    uint64_t bar_address[AGENT_BARS];
    uint64_t bar_size[AGENT_BARS];
    uint32_t msix_capability; /* offset in configuration space; 0: none */
    uint32_t msix_count;
    uint32_t msix_table_bar;
    uint32_t msix_table_offset;
    uint32_t msix_pba_bar;
    uint32_t msix_pba_offset;
    uint64_t version;
    uint64_t gencap;
    uint64_t wqcap;
    uint64_t offsets[2];
    uint64_t cmdcap;
    uint64_t tsc_event;   /* the interrupt, or the look at boot, that began the change */
    uint64_t tsc_settled; /* the new state was reached */
    uint64_t reserved;
};

struct agent_ring_entry {
    uint64_t tsc;
    uint32_t vector;
    uint32_t stray;
};

/* Counts only grow, across resets too. All of an interrupt's traces are in place before its count moves. */
struct agent_interrupts {
    uint64_t count[AGENT_VECTORS];
    uint64_t stray[AGENT_VECTORS]; /* arrived while nobody owned the vector */
    uint64_t last_tsc[AGENT_VECTORS];
    uint64_t stray_total;
    uint64_t ring_head; /* entries ever written; entry n is at n % AGENT_RING */
    struct agent_ring_entry ring[AGENT_RING]; /* without the agent's own timer and serial line */
};

/* A descriptor to submit and what became of it. The completion record must lie here if it is to be waited for. */
struct agent_item {
    uint64_t descriptor[8];
    uint8_t completion[64];
    uint32_t flags;
    uint32_t expect_vector; /* CPU vector or AGENT_NO_VECTOR */
    uint32_t result;
    uint32_t status;              /* first byte of the completion record */
    uint32_t irq_delta;           /* interrupts of expect_vector between sending and retiring */
    uint32_t irq_before_complete; /* 1: the interrupt was seen while the record was still empty */
    uint64_t tsc_start;
    uint64_t tsc_completion;
    uint64_t tsc_interrupt;
    uint64_t reserved[2];
};

struct agent_shared {
    uint64_t magic;
    uint32_t abi_version;
    uint32_t size;
    uint32_t boot_count;
    uint32_t ready; /* = boot_count once the agent obeys */
    uint32_t stage;
    uint32_t slot_count;
    uint64_t tsc_khz;
    uint64_t tsc_entered;
    uint64_t tsc_ready;
    uint64_t reserved;
    struct agent_config config;
    struct agent_crash crash;
    struct agent_command command;
    struct agent_answer answer;
    struct agent_enable enable;
    struct agent_slot slots[AGENT_SLOTS];
    struct agent_interrupts interrupts;
    uint64_t alignment[2]; /* of the items */
    struct agent_item items[AGENT_ITEMS];
};

_Static_assert(sizeof(struct agent_config) == 64, "layout");
_Static_assert(sizeof(struct agent_crash) == 200, "layout");
_Static_assert(sizeof(struct agent_command) == 128, "layout");
_Static_assert(sizeof(struct agent_answer) == 80, "layout");
_Static_assert(offsetof(struct agent_command, arg) == 16, "layout");
_Static_assert(offsetof(struct agent_answer, value) == 16, "layout");
_Static_assert(offsetof(struct agent_slot, bar_address) == 40, "layout");
_Static_assert(offsetof(struct agent_slot, version) == 160, "layout");
_Static_assert(sizeof(struct agent_slot) == 232, "layout");
_Static_assert(offsetof(struct agent_item, completion) == 64, "completion records are 32-byte aligned");
_Static_assert(sizeof(struct agent_item) == 192, "items keep the alignment of what they hold");
_Static_assert(offsetof(struct agent_shared, config) == 64, "layout");
_Static_assert(offsetof(struct agent_shared, items) % 64 == 0, "layout");
_Static_assert(sizeof(struct agent_shared) <= 0x200000, "must fit its 2 MiB page");

#endif
