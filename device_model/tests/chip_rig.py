"""The physical device by itself, shown whole: registers, portals and MSI-X, no virtual device and no memory behind it.

No engine runs: `step_all()` carries out what is queued. Interrupts are read from the ledger: an address that no remapping
entry is made for is blocked behind the device, and that is on record.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from device_model.config import DeviceConfig
from device_model.device import Device
from device_model.ledger import NO_ENTRY, Kind, LedgerRecord
from device_model.tests.core_rig import CMD, CMDSTATUS, NOOP, RCI, SWERROR, Cmd, SwError, descriptor, make_device

GENCAP, WQCAP, OPCAP, OFFSETS, GENCFG, CMDCAP = 0x10, 0x20, 0x40, 0x60, 0x80, 0xB0
DRAIN_PASID, ABORT_PASID = 11, 12
MODE = 1 | 1 << 4
"""WQCFG: dedicated, priority 1."""
PASID_ENABLE = 1 << 28
LIMITS = 21 | 5 << 5
USER_INTERRUPTS = 1 << 12
"""GENCFG: descriptors with a PASID may ask for interrupts."""


class Chip:
    """A device with an MSI-X table; a bus master, MSI-X on and all vectors unmasked unless `raw`. Use as a context manager."""

    def __init__(self, *, raw: bool = False, features: int = 0, **sizes: int) -> None:
        usual = {"num_wqs": 4, "total_wq_size": 64, "num_ims": 256, "num_groups": 2, "num_engines": 2, "num_msix": 5}
        self.config = DeviceConfig(features=features, **(usual | sizes))
        self.device = self.make(self.config)
        self.read, self.write = self.device.read, self.device.write
        self.step = self.device.step
        offsets = self.read(OFFSETS, 8)
        self.grpcfg, self.wqcfg = (offsets & 0xFFFF) * 0x100, (offsets >> 16 & 0xFFFF) * 0x100
        self.msixperm, self.ims = (offsets >> 32 & 0xFFFF) * 0x100, (offsets >> 48) * 0x100
        self.stride = 32 << (self.read(WQCAP, 8) >> 24 & 0xF)
        self.table, self.pba = self.device.msix_table, self.device.msix_pba
        self.records: list[LedgerRecord] = []
        if not raw:
            self.switch_on()

    def make(self, config: DeviceConfig) -> Device:
        """The device; other rigs make another kind."""
        return make_device(config)

    # ---- registers ----

    def command(self, command: int, operand: int = 0, *, interrupt: bool = False) -> int:
        """Writes CMD and returns CMDSTATUS as it is then."""
        self.write(CMD, command << 20 | operand | interrupt << 31)
        return self.read(CMDSTATUS)

    def succeed(self, command: int, operand: int = 0) -> None:
        status = self.command(command, operand)
        if status & 0xFF:
            raise AssertionError(f"command {command} with operand {operand:#x}: CMDSTATUS {status:#x}")

    def wq(self, number: int, dword: int = 0) -> int:
        """Offset of a dword of WQCFG."""
        return self.wqcfg + number * self.stride + 4 * dword

    def wq_state(self, number: int) -> int:
        return self.read(self.wq(number, 6)) >> 30

    def group(self, number: int, part: int = 0) -> int:
        """Offset of GRPCFG; part 32: engines, 40: flags."""
        return self.grpcfg + 64 * number + part

    def swerror(self) -> SwError:
        return SwError(b"".join(self.read(SWERROR + 8 * i, 8).to_bytes(8, "little") for i in range(4)))

    # ---- start ----

    def switch_on(self) -> None:
        """Bus master, MSI-X on; the message of a vector has its number in address and data."""
        self.device.set_bus_master(True)
        self.device.set_msix(True)
        for vector in range(self.config.num_msix):
            self.write(self.table + 16 * vector, 0xFEE0_0000 | vector << 12, 8)
            self.write(self.table + 16 * vector + 8, vector, 8)

    def configure(self, wqs: int = 1, *, mode: int = MODE, size: int = 16) -> None:
        """The first `wqs` queues and engine 0 in group 0; user-mode interrupts on."""
        self.write(GENCFG, USER_INTERRUPTS)
        for number in range(wqs):
            self.write(self.wq(number), size)
            self.write(self.wq(number, 2), mode)
            self.write(self.wq(number, 3), LIMITS)
        self.write(self.group(0), (1 << wqs) - 1, 8)
        self.write(self.group(0, 32), 1, 8)

    def start(self, wqs: int = 1, *, mode: int = MODE) -> Self:
        """Configured, and the device and its queues enabled."""
        self.configure(wqs, mode=mode)
        self.succeed(Cmd.ENABLE_DEVICE)
        for number in range(wqs):
            self.succeed(Cmd.ENABLE_WQ, number)
        return self

    def mask(self, vector: int, masked: bool) -> None:
        self.write(self.table + 16 * vector + 12, int(masked))

    def request(self, vector: int) -> None:
        self.succeed(Cmd.REQUEST_HANDLE, vector)

    # ---- work ----

    def fire(self, vector: int, *, wq: int = 0) -> None:
        """Queues a No-op whose interrupt is a vector of the MSI-X table."""
        self.device.submit(wq, descriptor(NOOP, flags=RCI, handle=vector), msix=True)

    def step_all(self) -> int:
        steps = 0
        while self.step():
            steps += 1
        return steps

    def run(self, vector: int, *, wq: int = 0) -> None:
        self.fire(vector, wq=wq)
        self.step_all()

    def ledger(self, *kinds: Kind) -> list[LedgerRecord]:
        """Records since the last call of this or vectors(), of these kinds or all."""
        records, lost = self.device.read_ledger()
        if lost:
            raise AssertionError(f"{lost} records lost")
        return [record for record in records if not kinds or record.kind in kinds]

    def vectors(self) -> list[int]:
        """Vectors whose message has left since the last call of this or ledger()."""
        return [record.vector for record in self.ledger(Kind.FIRED) if record.entry == NO_ENTRY]

    def messages(self) -> list[tuple[int, int]]:
        """(vector, address) of messages that have left since the last call."""
        return [(record.entry, record.detail) for record in self.ledger(Kind.BLOCKED)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.device.close()
