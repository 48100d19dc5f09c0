"""The host's driver of the physical device: everything goes through BAR0, as on hardware (DSA specification chapter 9)."""

from __future__ import annotations

import enum
import threading
import time

from device_model.config import Organisation
from device_model.device import Device
from host_ctl.errors import HostError

COMMAND_LIMIT_S = 10.0
"""Bound on a command. It waits for one descriptor at most; a busy machine may delay that by seconds."""

_VERSION, _GENCAP, _WQCAP, _OFFSETS = 0x00, 0x10, 0x20, 0x60
_GENCFG, _CMD, _CMDSTATUS = 0x80, 0xA0, 0xA8
_USER_INTERRUPTS = 1 << 12
_ACTIVE = 1 << 31


class Command(enum.IntEnum):
    """Codes of the CMD register (9.2.12)."""

    ENABLE_DEVICE = 1
    DISABLE_DEVICE = 2
    RESET_DEVICE = 5
    ENABLE_WQ = 6
    DISABLE_WQ = 7
    DRAIN_WQ = 8
    ABORT_WQ = 9
    RESET_WQ = 10
    REQUEST_INT_HANDLE = 13
    RELEASE_INT_HANDLE = 14


class CommandFailed(HostError):  # noqa: N818
    """The device answered a command with an error code (9.2.13, table 9-5)."""

    def __init__(self, command: Command, operand: int, error: int) -> None:
        super().__init__(f"the device refused {command.name} (operand {operand:#x}): error {error:#04x}, see table 9-5")
        self.command, self.operand, self.error = command, operand, error


class WqsExhausted(HostError):  # noqa: N818
    """Every work queue belongs to an mdev."""


class PhysicalDevice:
    """Brings the device up and owns its work queues. Commands are thread-safe, and block until they have ended."""

    def __init__(self, device: Device, *, wq_size: int) -> None:
        """Gives every work queue `wq_size` descriptors and enables the device. CommandFailed: the sizes do not fit."""
        self.device = device
        self.wq_size = wq_size
        self._lock = threading.Lock()
        self._gencap = device.read(_GENCAP, 8)
        offsets = device.read(_OFFSETS, 8)
        self._grpcfg = (offsets & 0xFFFF) * 0x100
        self._wqcfg = (offsets >> 16 & 0xFFFF) * 0x100
        self.msixperm = (offsets >> 32 & 0xFFFF) * 0x100
        self.ims_base = (offsets >> 48) * 0x100
        wqcap = device.read(_WQCAP, 8)
        self.num_wqs = wqcap >> 16 & 0xFF
        self._wqcfg_stride = 32 << (wqcap >> 24 & 0xF)
        self._free_wqs = list(range(self.num_wqs - 1, -1, -1))
        self._configure()

    @property
    def num_ims(self) -> int:
        """IMS entries (GENCAP[30:25], units of 256)."""
        return (self._gencap >> 25 & 0x3F) * 256

    @property
    def num_msix(self) -> int:
        """Vectors of the function's MSI-X table."""
        return self.device.config.num_msix

    @property
    def gencap(self) -> int:
        """GENCAP as the hardware shows it."""
        return self._gencap

    @property
    def wqs_in_use(self) -> int:
        """Work queues that belong to an mdev."""
        return self.num_wqs - len(self._free_wqs)

    def _configure(self) -> None:
        for wq in range(self.num_wqs):
            self.device.write(self._wqcfg + wq * self._wqcfg_stride, self.wq_size)
        for word in range(4):
            in_word = max(0, min(64, self.num_wqs - 64 * word))
            self.device.write(self._grpcfg + 8 * word, (1 << in_word) - 1, 8)
        self.device.write(self._grpcfg + 32, 1, 8)
        self.device.write(_GENCFG, _USER_INTERRUPTS)  # virtual machines run with a PASID
        if self.device.config.organisation == Organisation.MSIX:
            self.device.set_bus_master(True)
            self.device.set_msix(True)
        self.command(Command.ENABLE_DEVICE)

    def command(self, command: Command, operand: int = 0) -> int:
        """Carries a command out and returns CMDSTATUS[23:8]. CommandFailed: error code; HostError: no end in time."""
        with self._lock:
            # The device discards what is written while a command is active.
            self._await_idle(f"a command before {command.name}")
            self.device.write(_CMD, command << 20 | operand)
            status = self._await_idle(f"{command.name} (operand {operand:#x})")
        if status & 0xFF:
            raise CommandFailed(command, operand, status & 0xFF)
        return status >> 8 & 0xFFFF

    def _await_idle(self, what: str) -> int:
        """CMDSTATUS once no command is active."""
        deadline = time.monotonic() + COMMAND_LIMIT_S
        while (status := self.device.read(_CMDSTATUS)) & _ACTIVE:
            if time.monotonic() > deadline:
                raise HostError(
                    f"{what} did not end in {COMMAND_LIMIT_S:g} s: stop the guest that keeps the device busy"
                )
            time.sleep(0.0002)
        return status

    # ---- work queues ----

    def allocate_wq(self) -> int:
        """A work queue that nobody has. WqsExhausted: there is none."""
        if not self._free_wqs:
            raise WqsExhausted(f"all {self.num_wqs} work queues are in use: destroy an mdev first")
        return self._free_wqs.pop()

    def free_wq(self, wq: int) -> None:
        """Takes a work queue back. HostError: it was not reset; it stays out of use, so that no other VM gets it."""
        mode, state = self.device.read(self._wqcfg + wq * self._wqcfg_stride + 8), self.wq_state(wq)
        if mode or state:
            raise HostError(
                f"work queue {wq} was not reset (WQCFG mode {mode:#x}, state {state}): it is not given to another mdev"
            )
        self._free_wqs.append(wq)

    def wq_state(self, wq: int) -> int:
        """WQCFG's state: 0 disabled, 1 enabled, 2 on its way from 1 to 0 (9.2.24)."""
        return self.device.read(self._wqcfg + wq * self._wqcfg_stride + 24) >> 30

    def program_wq(self, wq: int, pasid: int, *, max_xfer_log2: int, max_batch_log2: int) -> None:
        """Dedicated mode, with the PASID that all its descriptors run with (9.2.24). The guest enables it."""
        base = self._wqcfg + wq * self._wqcfg_stride
        self.device.write(base + 8, 1 | 1 << 4 | pasid << 8 | 1 << 28)
        self.device.write(base + 12, max_xfer_log2 | max_batch_log2 << 5)

    def reset_wq(self, wq: int) -> None:
        """Aborts what is queued, waits for what is running, disables, wipes the configuration (Reset WQ)."""
        self.command(Command.RESET_WQ, wq // 16 << 16 | 1 << wq % 16)
