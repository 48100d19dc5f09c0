"""The numbers of agent/abi.h: limits, operations, results, states. A test compares them with the ELF."""

from enum import IntEnum, IntFlag
from typing import Final

MAGIC: Final = 0x31746E6567617664
NO_VECTOR: Final = 0xFFFFFFFF
NOT_REACHED: Final = 0xFFFFFFFF


class Limit(IntEnum):
    """enum agent_limit"""

    ABI_VERSION = 1
    SLOTS = 8
    BARS = 6
    VECTORS = 256
    RING = 1024
    ITEMS = 1024
    HANDLES = 256


class Vector(IntEnum):
    """enum agent_vector: CPU vectors with a fixed use; DEVICE up to SPURIOUS - 1 are given out by ENABLE."""

    HOTPLUG = 0x20
    UART = 0x28
    TIMER = 0x29
    DEVICE = 0x30
    SPURIOUS = 0xFF


class Event(IntEnum):
    """enum agent_event: the bytes that the agent sends; SLOT + the slot's number."""

    SLOT = 0x00
    READY = 0x40
    ANSWER = 0x41
    CRASH = 0x42


class Stage(IntEnum):
    """enum agent_stage: how far a boot has come."""

    NONE = 0
    ENTERED = 1
    TABLES = 2
    PORTS = 3
    READY = 4
    CRASHED = 5


class ConfigFlag(IntFlag):
    """enum agent_config_flag: how a guest behaves; may be set before it starts and changed at any time."""

    NONE = 0
    IGNORE_ATTENTION = 1
    IGNORE_PRESENCE = 2
    MAPPED_PORTAL = 4


class Op(IntEnum):
    """enum agent_op"""

    NOP = 0
    ENABLE = 1
    DISABLE = 2
    COMMAND = 3
    MMIO_READ = 4
    MMIO_WRITE = 5
    CONFIG_READ = 6
    CONFIG_WRITE = 7
    VECTOR_MASK = 8
    FUNCTION_MASK = 9
    SUBMIT = 10
    SPIN = 11
    EJECT = 12
    FAULT = 13


class Result(IntEnum):
    """enum agent_result"""

    OK = 0
    BAD_ARGUMENT = 1
    NO_DEVICE = 2
    TIMEOUT = 3
    DEVICE_ERROR = 4
    GONE = 5
    VECTORS_TAKEN = 6
    RESET = 7


class Step(IntEnum):
    """enum agent_step: what a command is doing, or did last."""

    MSIX = 0
    GENCTRL = 1
    DEVICE = 2
    WQ = 3
    HANDLES = 4
    ACCESS = 5
    SEND = 6
    COMPLETION = 7
    INTERRUPT = 8
    DONE = 9


class Fault(IntEnum):
    """enum agent_fault: deliberate ones."""

    INVALID_OPCODE = 0
    PAGE = 1
    TRIPLE = 2
    HANG = 3
    STACK = 4


class SlotState(IntEnum):
    """enum agent_slot_state"""

    NO_PORT = 0
    EMPTY = 1
    PRESENT = 2
    FAILED = 3


class SlotError(IntEnum):
    """enum agent_slot_error: why a slot is FAILED."""

    NONE = 0
    NO_ANSWER = 1
    BAR_SIZE = 2


class ItemFlag(IntFlag):
    """enum agent_item_flag"""

    NONE = 0
    WAIT_COMPLETION = 1


class ItemResult(IntEnum):
    """enum agent_item_result"""

    UNTOUCHED = 0
    SENT = 1
    DONE = 2
    NO_COMPLETION = 3
    NO_INTERRUPT = 4
    GONE = 5
