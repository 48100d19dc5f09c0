"""The registers of a DSA device by name, with their fields: DSA specification chapter 9, rev 3.0, and PCI's for the config space.

A `Register` is what the specification describes under one name; where it lies is the layout's business (`device_model.layout`).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from device_model import names


class Access(enum.Enum):
    """What a guest may do with a field (table 9-1)."""

    RO = "read-only"
    RW = "read-write"
    """Also what may be written at some times only."""
    W1C = "write 1 to clear"
    WO = "write-only"


@dataclass(frozen=True, slots=True)
class Field:
    """Bits `low` to `high` of a register. values: names of its values; empty: it is a number."""

    name: str
    low: int
    high: int
    access: Access = Access.RO
    values: Mapping[int, str] = field(default_factory=dict)

    @property
    def mask(self) -> int:
        """Its bits in the register."""
        return (1 << self.high + 1) - (1 << self.low)

    def of(self, value: int) -> int:
        """Its part of the register's value."""
        return (value & self.mask) >> self.low


@dataclass(frozen=True, slots=True)
class Register:
    """A register of `size` bytes. zero: what it means when it is 0."""

    name: str
    size: int
    fields: tuple[Field, ...]
    zero: str = ""

    @property
    def writable(self) -> int:
        """Bits that a guest may set in a write."""
        return sum(one.mask for one in self.fields if one.access is not Access.RO)

    def describe(self, value: int) -> str:
        """The fields that are not zero, `Valid Error=0x53 dedicated WQ full`."""
        words = [_shown(one, part) for one in self.fields if (part := one.of(value))]
        if reserved := value & ~sum(one.mask for one in self.fields):
            words.append(f"reserved={reserved:#x}")
        return " ".join(words) or self.zero

    def bits(self, mask: int) -> Iterator[str]:
        """The fields that have bits of `mask`, and `reserved`, for a mask of the register."""
        for one in self.fields:
            if one.mask & mask:
                yield one.name or self.name
                mask &= ~one.mask
        if mask:
            yield f"reserved {mask:#x}"


def _shown(one: Field, part: int) -> str:
    if one.high == one.low:
        return one.name
    shown = one.values.get(part, f"{part:#x}")
    return f"{one.name}={shown}" if one.name else shown


def _ro(name: str, low: int, high: int | None = None, values: Mapping[int, str] | None = None) -> Field:
    return Field(name, low, low if high is None else high, Access.RO, values or {})


def _rw(name: str, low: int, high: int | None = None) -> Field:
    return Field(name, low, low if high is None else high, Access.RW)


def _w1c(name: str, bit: int) -> Field:
    return Field(name, bit, bit, Access.W1C)


DEVICE_STATES = {0: "Disabled", 1: "Enabled", 2: "Disabling", 3: "Halted"}
WQ_STATES = {0: "Disabled", 1: "Enabled", 2: "Disabling"}
_ERROR_NAMES = {code: names.named(names.ERRORS, code) for code in names.ERRORS}

# ---- BAR0, fixed part (9.2.1 - 9.2.20, 9.2.30 - 9.2.32) ----

VERSION = Register("VERSION", 4, (_ro("Minor", 0, 7), _ro("Major", 8, 15)))
GENCAP = Register("GENCAP", 8, (
    _ro("BlockOnFault", 0), _ro("OverlappingCopy", 1), _ro("CacheControl", 2), _ro("CommandCap", 4), _ro("DurableWrite", 5),
    _ro("InterDomain", 6), _ro("FetchStride", 7), _ro("DestReadback", 8), _ro("DrainReadback", 9), _ro("Fill16", 10),
    _ro("CRC64", 11), _ro("FaultInfo", 12), _ro("EventLog", 13, 14), _ro("BatchContinuation", 15),
    _ro("MaxTransferLog2", 16, 20), _ro("MaxBatchLog2", 21, 24), _ro("IMSSize", 25, 30), _ro("Configuration", 31),
    _ro("EventLogOverflow", 32), _ro("Batch1", 52), _ro("NoStrictOrderMemory", 53), _ro("NoStrictOrderPeer", 54),
))  # fmt: skip
WQCAP = Register("WQCAP", 8, (
    _ro("TotalSize", 0, 15), _ro("WQs", 16, 23), _ro("WQCFGSize", 24, 27), _ro("Shared", 48), _ro("Dedicated", 49),
    _ro("ATSControl", 50), _ro("Priority", 51), _ro("Occupancy", 52), _ro("OccupancyInterrupt", 53), _ro("OPCFG", 54),
    _ro("PRSControl", 55),
))  # fmt: skip
GRPCAP = Register("GRPCAP", 8, (
    _ro("Groups", 0, 7), _ro("ReadBuffers", 8, 15), _ro("ReadBufferControls", 16), _ro("GlobalLimit", 17),
    _ro("InProgressLimit", 18), _ro("BandwidthLimit", 19),
))  # fmt: skip
ENGCAP = Register("ENGCAP", 8, (_ro("Engines", 0, 7), _ro("MaxWork", 8, 15), _ro("MaxBatches", 16, 23)))
OPCAP = tuple(Register(f"OPCAP[{word}]", 8, (_ro("Operations", 0, 63),)) for word in range(4))
OFFSETS = (
    Register("OFFSETS[0]", 8, (_ro("GRPCFG", 0, 15), _ro("WQCFG", 16, 31), _ro("MSIXPERM", 32, 47), _ro("IMS", 48, 63))),
    Register("OFFSETS[1]", 8, (_ro("Perfmon", 0, 15), _ro("IDPT", 16, 31))),
)
GENCFG = Register("GENCFG", 4, (_rw("GlobalLimit", 0, 7), _rw("UserInterrupts", 12), _rw("EventLogEnable", 13)))
GENCTRL = Register("GENCTRL", 4, (_rw("SoftwareErrorInt", 0), _rw("HaltInt", 1), _rw("EventLogInt", 2)))
GENSTS = Register("GENSTS", 4, (
    Field("", 0, 1, values=DEVICE_STATES),
    _ro("ResetNeeded", 2, 3, {1: "FLR", 2: "warm", 3: "cold"}),
), zero="Disabled")  # fmt: skip
INTCAUSE = Register("INTCAUSE", 4, (
    _w1c("SoftwareError", 0), _w1c("Command", 1), _w1c("Occupancy", 2), _w1c("Perfmon", 3), _w1c("Halt", 4),
    _w1c("EventLog", 5), _w1c("HandlesRevoked", 31),
))  # fmt: skip
CMD = Register("CMD", 4, (
    Field("Operand", 0, 19, Access.WO), Field("Command", 20, 24, Access.WO, names.COMMANDS),
    Field("RequestInterrupt", 31, 31, Access.WO),
))  # fmt: skip
CMDSTATUS = Register("CMDSTATUS", 4, (
    _ro("Active", 31),
    _ro("Error", 0, 7, {code: names.named(names.COMMAND_ERRORS, code) for code in names.COMMAND_ERRORS}),
    _ro("Result", 8, 23),
), zero="no error")  # fmt: skip
CMDCAP = Register("CMDCAP", 8, (_ro("Commands", 0, 63),))
SWERROR = (
    Register("SWERROR[0]", 8, (
        _w1c("Valid", 0), _w1c("Overflow", 1), _ro("DescriptorValid", 2), _ro("WQValid", 3), _ro("BatchMember", 4),
        _ro("Write", 5), _ro("Priv", 6), _ro("InfoValid", 7), _ro("Error", 8, 15, _ERROR_NAMES), _ro("WQ", 16, 23),
        _ro("Operation", 32, 39, names.OPERATIONS), _ro("PASID", 40, 59),
    )),
    Register("SWERROR[1]", 8, (_ro("BatchIndex", 0, 15), _ro("Info", 32, 63))),
    Register("SWERROR[2]", 8, (_ro("Address", 0, 63),)),
    Register("SWERROR[3]", 8, ()),
)  # fmt: skip
EVLCFG = (
    Register("EVLCFG[0]", 8, (_rw("PASIDEnable", 0), _rw("Priv", 1), _rw("Base", 12, 63))),
    Register("EVLCFG[1]", 8, (_rw("Size", 0, 15), _rw("PASID", 16, 35))),
)
EVLSTATUS = Register("EVLSTATUS", 8, (_rw("Head", 0, 15), _ro("Tail", 32, 47), _w1c("InterruptPending", 62)))
IDCAP = Register("IDCAP", 8, (_ro("Types", 0, 1), _ro("IDPTSize", 8, 23), _ro("OffsetMode", 24), _ro("EntrySize", 26, 27)))
IDBR = Register("IDBR", 4, (_rw("PASIDEnable", 0), _rw("Priv", 1), _rw("TC", 2, 4), _rw("PASID", 8, 27)))
DSACAP = (
    Register("DSACAP0", 8, (
        _ro("MaxSGLLog2", 0, 3), _ro("MaxReduceLog2", 4, 7), _ro("InterDomainOps", 8, 14), _ro("SGLFormats", 32, 47),
        _ro("MaxSGDescriptors", 48, 55),
    )),
    Register("DSACAP1", 8, (
        _ro("DataTypes", 0, 15), _ro("UpConversion", 16, 31), _ro("DownConversion", 32, 47), _ro("Compute", 48, 63),
    )),
    Register("DSACAP2", 8, (
        _ro("Negation", 0), _ro("FTZ", 2), _ro("DAZ", 3), _ro("Signed", 7), _ro("Saturate", 8), _ro("Rounding", 12, 15),
    )),
)  # fmt: skip
CMDPARAM = Register("CMDPARAM", 8, (_rw("Parameters", 0, 63),))
DUMMY = Register("DUMMY", 4096, ())
PERFMON = Register("PERFMON", 4096, (_rw("", 0, 63),))

# ---- tables (9.2.22 - 9.2.29) ----

MSIXPERM = Register("MSIXPERM", 4, (_rw("Ignore", 2), _rw("PASIDEnable", 3), _rw("PASID", 12, 31)))
GRPCFG_WQS = Register("GRPWQCFG", 8, (_rw("WQs", 0, 63),))
GRPCFG_ENGINES = Register("GRPENGCFG", 8, (_rw("Engines", 0, 63),))
GRPCFG_FLAGS = Register("GRPFLAGS", 8, (
    _rw("TCA", 0, 2), _rw("TCB", 3, 5), _rw("UseGlobalLimit", 7), _rw("ReadBuffersReserved", 8, 15),
    _rw("ReadBuffersAllowed", 20, 27), _rw("WorkLimit", 32, 33), _rw("BatchLimit", 36, 37), _rw("ReadBandwidth", 40, 43),
    _rw("WriteBandwidth", 44, 47),
))  # fmt: skip
WQCFG = (
    Register("Size", 4, (_rw("Size", 0, 15),)),
    Register("Threshold", 4, (_rw("Threshold", 0, 15),)),
    Register("Mode", 4, (
        _rw("Dedicated", 0), _rw("BlockOnFault", 1), _rw("ATSDisable", 2), _rw("PRSDisable", 3), _rw("Priority", 4, 7),
        _rw("PASID", 8, 27), _rw("PASIDEnable", 28), _rw("Priv", 29),
    )),
    Register("Limits", 4, (_rw("MaxTransferLog2", 0, 4), _rw("MaxBatchLog2", 5, 8), _rw("MaxSGLLog2", 9, 12))),
    Register("OccupancyHandle", 4, (_rw("Handle", 0, 15), _rw("IMS", 16))),
    Register("OccupancyLimit", 4, (_rw("Limit", 0, 15), _rw("InterruptEnable", 16))),
    Register("Status", 4, (
        _ro("Occupancy", 0, 15), _w1c("InterruptGenerated", 16), _ro("ModeSupport", 29),
        Field("State", 30, 31, values=WQ_STATES),
    )),
    Register("Reserved", 4, ()),
    *(Register(f"OPCFG[{word}]", 4, (_rw("Operations", 0, 31),)) for word in range(8)),
)  # fmt: skip
"""Dwords of WQCFG (9.2.24)."""
IMS = (
    Register("AddressLow", 4, (_rw("Address", 0, 31),)),
    Register("AddressHigh", 4, (_rw("Address", 0, 31),)),
    Register("Data", 4, (_rw("Data", 0, 31),)),
    Register("Control", 4, (_rw("Mask", 0), _ro("Pending", 1), _rw("Ignore", 2), _rw("PASIDEnable", 3), _rw("PASID", 12, 31))),
)
MSIX = (*IMS[:3], Register("Control", 4, (_rw("Mask", 0),)))
PBA = Register("PBA", 8, (_ro("Pending", 0, 63),))

# ---- config space (PCI Express base specification, 7.5, 7.7.2) ----

CONFIG: Mapping[int, Register] = {
    0x00: Register("VendorID", 2, (_ro("ID", 0, 15),)),
    0x02: Register("DeviceID", 2, (_ro("ID", 0, 15),)),
    0x04: Register("Command", 2, (
        _rw("IO", 0), _rw("Memory", 1), _rw("BusMaster", 2), _rw("ParityError", 6), _rw("SERR", 8), _rw("InterruptDisable", 10),
    )),
    0x06: Register("Status", 2, (
        _ro("Interrupt", 3), _ro("CapList", 4), *(_w1c(f"Error{bit}", bit) for bit in (8, 11, 12, 13, 14, 15)),
    )),
    0x08: Register("ClassRevision", 4, (_ro("Revision", 0, 7), _ro("Class", 8, 31))),
    0x0C: Register("CacheLineSize", 1, (_rw("Size", 0, 7),)),
    0x0D: Register("LatencyTimer", 1, (_rw("Timer", 0, 7),)),
    0x0E: Register("HeaderType", 1, (_ro("Type", 0, 7),)),
    0x0F: Register("BIST", 1, (_ro("BIST", 0, 7),)),
    **{0x10 + 4 * bar: Register(f"BAR{bar}", 4, (_rw("Address", 0, 31),)) for bar in range(6)},
    0x28: Register("CardbusCIS", 4, (_ro("Pointer", 0, 31),)),
    0x2C: Register("SubsystemID", 4, (_ro("ID", 0, 31),)),
    0x30: Register("ROM", 4, (_rw("Address", 0, 31),)),
    0x34: Register("CapabilityPointer", 1, (_ro("Pointer", 0, 7),)),
    0x3C: Register("InterruptLine", 1, (_rw("Line", 0, 7),)),
    0x3D: Register("InterruptPin", 1, (_ro("Pin", 0, 7),)),
}  # fmt: skip
"""Offset to register of the header. All bits of BARs and ROM may be written: that is how their sizes are found."""
PCIE_CAPABILITY, MSIX_CAPABILITY = 0x10, 0x11
CAPABILITIES: Mapping[int, Mapping[int, Register]] = {
    PCIE_CAPABILITY: {
        0x00: Register("PCIe", 4, (_ro("ID", 0, 7), _ro("Next", 8, 15), _ro("Capabilities", 16, 31))),
        0x04: Register("PCIe.DeviceCap", 4, (_ro("Capabilities", 0, 31),)),
        0x08: Register("PCIe.DeviceControl", 2, (_rw("Control", 0, 14), _rw("FLR", 15))),
        0x0A: Register("PCIe.DeviceStatus", 2, (*(_w1c(f"Error{bit}", bit) for bit in range(4)), _ro("Status", 4, 15))),
    },
    MSIX_CAPABILITY: {
        0x00: Register("MSIX", 2, (_ro("ID", 0, 7), _ro("Next", 8, 15))),
        0x02: Register("MSIX.Control", 2, (_ro("TableSize", 0, 10), _rw("FunctionMask", 14), _rw("Enable", 15))),
        0x04: Register("MSIX.Table", 4, (_ro("BAR", 0, 2), _ro("Offset/8", 3, 31))),
        0x08: Register("MSIX.PBA", 4, (_ro("BAR", 0, 2), _ro("Offset/8", 3, 31))),
    },
}
"""Capability id to its registers, at offsets from its beginning."""
