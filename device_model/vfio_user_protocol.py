"""Messages of the vfio-user protocol (QEMU, docs/interop/vfio-user.rst): constants, and structures as `struct.Struct`.

Everything is little endian. A message is a header of 16 bytes (`HEADER`: id, command, size of the whole message, flags,
errno) and a payload. Names are the specification's without the prefix VFIO_USER_.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final


class Command(enum.IntEnum):
    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    DEVICE_GET_INFO = 4
    DEVICE_GET_REGION_INFO = 5
    DEVICE_GET_REGION_IO_FDS = 6
    DEVICE_GET_IRQ_INFO = 7
    DEVICE_SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DMA_READ = 11
    DMA_WRITE = 12
    DEVICE_RESET = 13


class Flags(enum.IntFlag):
    """Header flags. Bits 3:0 are the type: 0 a command, 1 a reply."""

    COMMAND = 0
    REPLY = 1
    NO_REPLY = 0x10
    ERROR = 0x20


TYPE_MASK: Final = 0xF


class Region(enum.IntEnum):
    """VFIO's region indices."""

    BAR0 = 0
    BAR2 = 2
    CONFIG = 7


class RegionFlags(enum.IntFlag):
    """What can be done with a region."""

    READ = 1
    WRITE = 2
    MMAP = 4
    CAPS = 8


class IrqIndex(enum.IntEnum):
    """VFIO's interrupt indices."""

    INTX = 0
    MSI = 1
    MSIX = 2
    ERR = 3
    REQ = 4


class IrqFlags(enum.IntFlag):
    """Flags of DEVICE_SET_IRQS: one kind of data, one action."""

    DATA_NONE = 1
    DATA_BOOL = 2
    DATA_EVENTFD = 4
    ACTION_MASK = 8
    ACTION_UNMASK = 0x10
    ACTION_TRIGGER = 0x20


DMA_MAP_READ: Final = 1
DMA_MAP_WRITE: Final = 2
DMA_UNMAP_ALL: Final = 2

HEADER: Final = struct.Struct("<HHIII")
VERSION: Final = struct.Struct("<HH")
DMA_MAP: Final = struct.Struct("<IIQQQ")
DMA_UNMAP: Final = struct.Struct("<IIQQ")
DEVICE_INFO: Final = struct.Struct("<IIII")
REGION_INFO: Final = struct.Struct("<IIIIQQ")
SPARSE_MMAP: Final = struct.Struct("<HHIII")
MMAP_AREA: Final = struct.Struct("<QQ")
IRQ_INFO: Final = struct.Struct("<IIII")
IRQ_SET: Final = struct.Struct("<IIIII")
REGION_ACCESS: Final = struct.Struct("<QII")
DMA_ACCESS: Final = struct.Struct("<QQ")

MSI_FIRST: Final = 0xFEE00000
MSI_LAST: Final = 0xFEEFFFFF
MAX_MSG_FDS: Final = 16


@dataclass(frozen=True, slots=True)
class Header:
    """A message's first 16 bytes. `size` counts them too; `error` is a positive errno if ERROR is set."""

    id: int
    command: int
    size: int
    flags: int
    error: int

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        """From exactly 16 bytes."""
        return cls(*HEADER.unpack(data))

    @property
    def is_reply(self) -> bool:
        return self.flags & TYPE_MASK == Flags.REPLY

    @property
    def is_error(self) -> bool:
        return bool(self.flags & Flags.ERROR)


@dataclass(frozen=True, slots=True)
class Message:
    header: Header
    payload: bytes


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """DEVICE_GET_INFO. flags: 1 can be reset, 2 PCI."""

    flags: int
    num_regions: int
    num_irqs: int


@dataclass(frozen=True, slots=True)
class RegionInfo:
    """DEVICE_GET_REGION_INFO. flags: 1 readable, 2 writable, 4 mappable, 8 capabilities; size in bytes, 0: none."""

    flags: int
    index: int
    cap_offset: int
    size: int
    offset: int


def unpack_areas(reply: bytes, info: RegionInfo) -> list[tuple[int, int]]:
    """(offset, size) of the areas in the sparse mmap capability of a region. ValueError: there is none."""
    kind, _, _, count, _ = SPARSE_MMAP.unpack_from(reply, info.cap_offset)
    if kind != 1:
        raise ValueError(f"capability {kind} is not a sparse mmap")
    at = info.cap_offset + SPARSE_MMAP.size
    return [MMAP_AREA.unpack_from(reply, at + i * MMAP_AREA.size) for i in range(count)]


@dataclass(frozen=True, slots=True)
class IrqInfo:
    """DEVICE_GET_IRQ_INFO. flags: 1 eventfd, 2 maskable, 8 cannot be resized; count: vectors."""

    flags: int
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A message interrupt: a write of `data` (4 bytes) to `address`."""

    address: int
    data: int


def message(
    command: int, payload: bytes = b"", *, message_id: int = 1, flags: int = 0, error: int = 0, size: int | None = None
) -> bytes:
    """A whole message; `size` other than the true one is for tests."""
    true_size = HEADER.size + len(payload)
    return HEADER.pack(message_id, command, true_size if size is None else size, flags, error) + payload
