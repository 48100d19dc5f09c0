"""What the numbers of the DSA specification (rev 3.0) are called: commands, their errors, operations, completion status, flags.

`named()` never fails: a number that the specification does not name stays a number.
"""

from __future__ import annotations

from collections.abc import Mapping

COMMANDS: Mapping[int, str] = {
    1: "Enable Device",
    2: "Disable Device",
    3: "Drain All",
    4: "Abort All",
    5: "Reset Device",
    6: "Enable WQ",
    7: "Disable WQ",
    8: "Drain WQ",
    9: "Abort WQ",
    10: "Reset WQ",
    11: "Drain PASID",
    12: "Abort PASID",
    13: "Request Interrupt Handle",
    14: "Release Interrupt Handle",
    15: "Request IDPT Handle",
    16: "Release IDPT Handle",
    17: "Invalidate Submitter Bitmap Cache",
}
"""Codes of CMD (9.2.12, table 9-5)."""

COMMAND_ERRORS: Mapping[int, str] = {
    0x00: "no error",
    0x01: "unsupported command",
    0x02: "invalid WQ index",
    0x03: "hardware error",
    0x04: "reserved field not zero",
    0x05: "device halted",
    0x10: "device not Disabled",
    0x11: "configuration error",
    0x12: "Bus Master Enable is 0",
    0x13: "PRSREQALLOC unsupported",
    0x14: "sum of WQ sizes out of range",
    0x15: "group has WQs or engines only",
    0x16: "WQ in no group or in two",
    0x17: "engine in two groups",
    0x18: "invalid read buffers or bandwidth limit",
    0x19: "invalid event log",
    0x1A: "invalid ATS configuration",
    0x1B: "invalid PASID configuration",
    0x20: "device not Enabled",
    0x21: "WQ not Disabled",
    0x22: "WQ size is 0",
    0x23: "WQ priority is 0",
    0x24: "invalid WQ mode",
    0x25: "invalid block on fault",
    0x26: "invalid WQ PASID Enable",
    0x27: "invalid WQ maximum batch size",
    0x28: "invalid WQ maximum transfer size",
    0x2A: "invalid WQ Priv",
    0x2B: "invalid WQ occupancy interrupt",
    0x2C: "invalid WQ ATS Disable",
    0x2D: "invalid WQ OPCFG",
    0x2E: "invalid WQ PRS Disable",
    0x31: "device not Enabled",
    0x32: "WQ not Enabled",
    0x41: "invalid interrupt table index",
    0x42: "no interrupt handle available",
    0x51: "invalid IDPT index",
    0x52: "no IDPT handle available",
}
"""Error codes of CMDSTATUS (9.2.13, 5.8.3 table 5-8)."""

OPERATIONS: Mapping[int, str] = {
    0x00: "No-op",
    0x01: "Batch",
    0x02: "Drain",
    0x03: "Memory Move",
    0x04: "Fill",
    0x05: "Compare",
    0x06: "Compare Pattern",
    0x07: "Create Delta Record",
    0x08: "Apply Delta Record",
    0x09: "Memory Copy with Dualcast",
    0x0A: "Translation Fetch",
    0x10: "CRC Generation",
    0x11: "Copy with CRC Generation",
    0x12: "DIF Check",
    0x13: "DIF Insert",
    0x14: "DIF Strip",
    0x15: "DIF Update",
    0x17: "DIX Generate",
    0x18: "Type Conversion",
    0x19: "Reduce",
    0x1A: "Reduce with Dualcast",
    0x1B: "Gather Reduce",
    0x1C: "Gather Copy",
    0x1D: "Scatter Copy",
    0x1E: "Scatter Fill",
    0x20: "Cache Flush",
    0x21: "Update Window",
    0x23: "Inter-Domain Copy",
    0x24: "Inter-Domain Fill",
    0x25: "Inter-Domain Compare",
    0x26: "Inter-Domain Compare Pattern",
}
"""Operation types of descriptors (8.1.2, table 8-2)."""

STATUS: Mapping[int, str] = {
    0x00: "none yet",
    0x01: "success",
    0x02: "success with false predicate",
    0x03: "page fault",
    0x04: "page fault, page request refused",
    0x05: "batch had failures",
    0x06: "page fault on the descriptor list",
    0x07: "delta record offsets not increasing",
    0x08: "delta record offset out of range",
    0x09: "DIF error",
    0x10: "unsupported operation",
    0x11: "invalid flags",
    0x12: "reserved field not zero",
    0x13: "invalid transfer size",
    0x14: "descriptor count out of range",
    0x15: "unsupported field value",
    0x16: "overlapping buffers",
    0x17: "dualcast destinations not aligned alike",
    0x18: "descriptor list misaligned",
    0x19: "invalid interrupt handle",
    0x1A: "page fault on the completion record",
    0x1B: "completion record misaligned",
    0x1C: "misaligned address or size",
    0x1D: "Priv without privileged mode",
    0x1E: "traffic class not enabled",
    0x1F: "page fault on a readback address",
    0x20: "hardware error, as of a read",
    0x21: "hardware error of a write",
    0x22: "address translation error",
    0x26: "fault on a completion record before a drain",
    0x27: "fault on a completion record in a batch",
    0x28: "inter-domain operation without PASID",
    0x29: "invalid IDPT handle",
    0x2A: "IDPT permission missing",
    0x2B: "outside the IDPT window",
    0x2C: "IDPT entry not to be updated",
    0x2D: "invalid window",
    0x2E: "domain not accessible",
}
"""Status codes of completion records (5.8.1, table 5-6)."""

ERRORS: Mapping[int, str] = {
    **STATUS,
    0x51: "PCI configuration changed while enabled",
    0x52: "CMD written while a command was active",
    0x53: "dedicated WQ full",
    0x54: "event log could not be written",
}
"""Error codes of SWERROR: those of status, and some more (5.8.2, table 5-7)."""

FLAGS: Mapping[int, str] = {
    0: "Fence",
    1: "BOF",
    2: "CRAV",
    3: "RCR",
    4: "RCI",
    5: "CC3",
    7: "CheckResult",
    8: "CC1",
    9: "TC1",
    10: "TC2",
    11: "TC3",
    12: "CRTC",
    13: "StrictOrder",
    14: "CC2",
}
"""Flags of all operations, by bit (8.1.3)."""

REGIONS: Mapping[int, str] = {0: "BAR0", 2: "BAR2", 7: "config"}
"""Regions of the PCI function, by VFIO's number."""

_WQ_COMMANDS = (7, 8, 9, 10)
_HANDLE_COMMANDS = (13, 14)
_PASID_COMMANDS = (11, 12)


def named(names: Mapping[int, str], value: int) -> str:
    """The name and the number: `0x41 invalid interrupt table index`; a number without a name alone."""
    name = names.get(value)
    return f"{value:#04x}" if name is None else f"{value:#04x} {name}"


def operation(opcode: int) -> str:
    """The name of an operation, or `operation 0x7f`."""
    return OPERATIONS.get(opcode, f"operation {opcode:#04x}")


def command(value: int) -> str:
    """A value written to CMD: `Request Interrupt Handle index=3`, `Disable WQ wqs=1,4`; `+int`: it asks for an interrupt."""
    code, operand = value >> 20 & 0x1F, value & 0xFFFFF
    words = [COMMANDS.get(code, f"command {code}"), *_operand(code, operand)]
    if reserved := value >> 25 & 0x3F:
        words.append(f"reserved={reserved:#x}")
    if value >> 31:
        words.append("+int")
    return " ".join(words)


def _operand(code: int, operand: int) -> list[str]:
    if code == 6:
        return [f"wq={operand}"]
    if code in _WQ_COMMANDS:
        first = operand >> 16 << 4
        return ["wqs=" + (",".join(str(first + bit) for bit in range(16) if operand >> bit & 1) or "none")]
    if code in _PASID_COMMANDS:
        return [f"pasid={operand}"]
    if code in _HANDLE_COMMANDS:
        table = ["table=IMS"] if operand >> 16 & 1 else []
        return [f"index={operand & 0xFFFF}", *table, *([f"reserved={operand >> 17:#x}"] if operand >> 17 else [])]
    return [f"operand={operand:#x}"] if operand else []


def flags(value: int) -> str:
    """A descriptor's flags: `CRAV|RCR|RCI`; bits without a common name as numbers; `-`: none."""
    words = [FLAGS.get(bit, f"bit{bit}") for bit in range(24) if value >> bit & 1]
    return "|".join(words) or "-"
