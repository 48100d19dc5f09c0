"""The block that host and agent share, as agent/abi.h has it. A test compares both through the ELF's debug information.

The structures are made to be laid over the guest's RAM (`from_buffer`): reading or writing one of their aligned 32- or
64-bit members is one access.
"""

from ctypes import Array, Structure, c_uint8, c_uint16, c_uint32, c_uint64

from guest_tests.agent_numbers import Limit


class AgentConfig(Structure):
    flags: int
    spin_us: int
    _fields_ = (("flags", c_uint32), ("spin_us", c_uint32), ("reserved", c_uint64 * 7))


class AgentCrash(Structure):
    valid: int
    vector: int
    error_code: int
    rip: int
    cs: int
    rflags: int
    rsp: int
    cr2: int
    cr3: int
    general: Array[c_uint64]
    op: int
    was_message: int
    tsc: int
    _fields_ = (
        ("valid", c_uint32),
        ("vector", c_uint32),
        ("error_code", c_uint64),
        ("rip", c_uint64),
        ("cs", c_uint64),
        ("rflags", c_uint64),
        ("rsp", c_uint64),
        ("cr2", c_uint64),
        ("cr3", c_uint64),
        ("general", c_uint64 * 15),
        ("op", c_uint32),
        ("was_message", c_uint32),
        ("tsc", c_uint64),
    )


class AgentCommand(Structure):
    seq: int
    op: int
    slot: int
    timeout_us: int
    arg: Array[c_uint64]
    stop: int
    _fields_ = (
        ("seq", c_uint32),
        ("op", c_uint32),
        ("slot", c_uint32),
        ("timeout_us", c_uint32),
        ("arg", c_uint64 * 6),
        ("stop", c_uint32),
        ("reserved", c_uint32 * 15),
    )


class AgentAnswer(Structure):
    seq: int
    result: int
    step: int
    detail: int
    value: Array[c_uint64]
    progress: int
    tsc_start: int
    tsc_end: int
    _fields_ = (
        ("seq", c_uint32),
        ("result", c_uint32),
        ("step", c_uint32),
        ("detail", c_uint32),
        ("value", c_uint64 * 4),
        ("progress", c_uint64),
        ("tsc_start", c_uint64),
        ("tsc_end", c_uint64),
        ("reserved", c_uint64),
    )


class AgentEnable(Structure):
    device_status: int
    wq_status: int
    handle_status: Array[c_uint32]
    handle: Array[c_uint32]
    _fields_ = (
        ("device_status", c_uint32),
        ("wq_status", c_uint32),
        ("handle_status", c_uint32 * Limit.HANDLES),
        ("handle", c_uint32 * Limit.HANDLES),
    )


class AgentSlot(Structure):
    state: int
    generation: int
    error: int
    devfn: int
    physical_slot: int
    vendor: int
    device: int
    class_revision: int
    is_idxd: int
    vector_base: int
    vector_count: int
    bar_address: Array[c_uint64]
    bar_size: Array[c_uint64]
    msix_capability: int
    msix_count: int
    msix_table_bar: int
    msix_table_offset: int
    msix_pba_bar: int
    msix_pba_offset: int
    version: int
    gencap: int
    wqcap: int
    offsets: Array[c_uint64]
    cmdcap: int
    tsc_event: int
    tsc_settled: int
    _fields_ = (
        ("state", c_uint32),
        ("generation", c_uint32),
        ("error", c_uint32),
        ("devfn", c_uint32),
        ("physical_slot", c_uint32),
        ("vendor", c_uint16),
        ("device", c_uint16),
        ("class_revision", c_uint32),
        ("is_idxd", c_uint32),
        ("vector_base", c_uint32),
        ("vector_count", c_uint32),
        ("bar_address", c_uint64 * Limit.BARS),
        ("bar_size", c_uint64 * Limit.BARS),
        ("msix_capability", c_uint32),
        ("msix_count", c_uint32),
        ("msix_table_bar", c_uint32),
        ("msix_table_offset", c_uint32),
        ("msix_pba_bar", c_uint32),
        ("msix_pba_offset", c_uint32),
        ("version", c_uint64),
        ("gencap", c_uint64),
        ("wqcap", c_uint64),
        ("offsets", c_uint64 * 2),
        ("cmdcap", c_uint64),
        ("tsc_event", c_uint64),
        ("tsc_settled", c_uint64),
        ("reserved", c_uint64),
    )


class AgentRingEntry(Structure):
    tsc: int
    vector: int
    stray: int
    _fields_ = (("tsc", c_uint64), ("vector", c_uint32), ("stray", c_uint32))


class AgentInterrupts(Structure):
    count: Array[c_uint64]
    stray: Array[c_uint64]
    last_tsc: Array[c_uint64]
    stray_total: int
    ring_head: int
    ring: Array[AgentRingEntry]
    _fields_ = (
        ("count", c_uint64 * Limit.VECTORS),
        ("stray", c_uint64 * Limit.VECTORS),
        ("last_tsc", c_uint64 * Limit.VECTORS),
        ("stray_total", c_uint64),
        ("ring_head", c_uint64),
        ("ring", AgentRingEntry * Limit.RING),
    )


class AgentItem(Structure):
    flags: int
    expect_vector: int
    result: int
    status: int
    irq_delta: int
    irq_before_complete: int
    tsc_start: int
    tsc_completion: int
    tsc_interrupt: int
    _fields_ = (
        ("descriptor", c_uint64 * 8),
        ("completion", c_uint8 * 64),
        ("flags", c_uint32),
        ("expect_vector", c_uint32),
        ("result", c_uint32),
        ("status", c_uint32),
        ("irq_delta", c_uint32),
        ("irq_before_complete", c_uint32),
        ("tsc_start", c_uint64),
        ("tsc_completion", c_uint64),
        ("tsc_interrupt", c_uint64),
        ("reserved", c_uint64 * 2),
    )


class AgentShared(Structure):
    magic: int
    abi_version: int
    size: int
    boot_count: int
    ready: int
    stage: int
    slot_count: int
    tsc_khz: int
    tsc_entered: int
    tsc_ready: int
    config: AgentConfig
    crash: AgentCrash
    command: AgentCommand
    answer: AgentAnswer
    enable: AgentEnable
    slots: Array[AgentSlot]
    interrupts: AgentInterrupts
    items: Array[AgentItem]
    _fields_ = (
        ("magic", c_uint64),
        ("abi_version", c_uint32),
        ("size", c_uint32),
        ("boot_count", c_uint32),
        ("ready", c_uint32),
        ("stage", c_uint32),
        ("slot_count", c_uint32),
        ("tsc_khz", c_uint64),
        ("tsc_entered", c_uint64),
        ("tsc_ready", c_uint64),
        ("reserved", c_uint64),
        ("config", AgentConfig),
        ("crash", AgentCrash),
        ("command", AgentCommand),
        ("answer", AgentAnswer),
        ("enable", AgentEnable),
        ("slots", AgentSlot * Limit.SLOTS),
        ("interrupts", AgentInterrupts),
        ("alignment", c_uint64 * 2),
        ("items", AgentItem * Limit.ITEMS),
    )


def offset_of(structure: type[Structure], field: str) -> int:
    """Offset in bytes of a field."""
    return int(getattr(structure, field).offset)
