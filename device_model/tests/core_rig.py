"""The core rig: the device, its host and guests without a VM. Every guest is a vfio-user client on its mdev's real socket.

No engine runs: `Machine.step_all()` carries out what is queued, so what is queued, running and done is known at each moment.
Nothing is waited for by time: an answer on a socket comes after everything that was sent on it before.
"""

from __future__ import annotations

import enum
import importlib.util
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Self

from device_model.config import DeviceConfig
from device_model.device import LEDGER_CAPACITY, Device, shipped_core
from device_model.ledger import Kind, LedgerRecord
from device_model.vfio_user_client import VfioUserClient
from host_ctl.interrupts import Interrupt, Scope, make_store, open_domains
from host_ctl.interrupts.vm_id import VmIdAllocator
from host_ctl.mdev import Mdev, Parts, describe
from host_ctl.mdev_type import TYPES
from host_ctl.pasid import PasidAllocator
from host_ctl.physical import PhysicalDevice
from host_ctl.remapping import RemappingTable

CORE_VARIABLE = "VDSA_TEST_CORE"
"""Names another build of the extension module to test; only tests look at it."""
FAULT_VARIABLE = "VDSA_TEST_FAULT"
"""A number of enum planted_fault to plant into each device, if the module has places for them."""

BAR0, BAR2, CONFIG = 0, 2, 7
GENCTRL, GENSTS, INTCAUSE, CMD, CMDSTATUS, SWERROR = 0x88, 0x90, 0x98, 0xA0, 0xA8, 0xC0
WQCFG, MSIXPERM, MSIX_TABLE, PBA = 0x600, 0x800, 0x2000, 0x3000
MSIX_CONTROL = 0x82
PORTAL = 0x1000
ACTIVE = 1 << 31
RAM, RAM_SIZE = 0x10_0000, 1 << 20
RECORDS = RAM + 0x8_0000
"""Where a guest keeps completion records, 32 bytes each."""
IMS_MASK, IMS_PENDING, IMS_IGNORE, IMS_PASID_ENABLE = 1, 2, 4, 8

VECTORS = 16
"""Up to how many vectors besides vector 0 guests have, where the store is cut into parts of one size."""

CRAV, RCR, RCI = 1 << 2, 1 << 3, 1 << 4
NOOP, MEMMOVE = 0x00, 0x03
SUCCESS, BAD_HANDLE = 0x01, 0x19


class Cmd(enum.IntEnum):
    """Codes of the CMD register (9.2.12)."""

    ENABLE_DEVICE = 1
    DISABLE_DEVICE = 2
    DRAIN_ALL = 3
    ABORT_ALL = 4
    RESET_DEVICE = 5
    ENABLE_WQ = 6
    DISABLE_WQ = 7
    DRAIN_WQ = 8
    ABORT_WQ = 9
    RESET_WQ = 10
    DRAIN_PASID = 11
    REQUEST_HANDLE = 13
    RELEASE_HANDLE = 14


def core_under_test() -> ModuleType:
    """The shipped module, or the one that CORE_VARIABLE names."""
    path = os.environ.get(CORE_VARIABLE)
    if not path:
        return shipped_core()
    spec = importlib.util.spec_from_file_location(Path(path).name.split(".")[0], path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no extension module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def planted_fault() -> int:
    """The fault to plant; 0: none."""
    return int(os.environ.get(FAULT_VARIABLE, "0"))


def make_device(config: DeviceConfig, *, ledger_capacity: int = LEDGER_CAPACITY, run_engine: bool = False) -> Device:
    """A device of the core under test."""
    device = Device(config, core=core_under_test(), ledger_capacity=ledger_capacity, run_engine=run_engine)
    if planted_fault():
        device.plant_fault(planted_fault())
    return device


def descriptor(
    opcode: int,
    *,
    flags: int = CRAV | RCR,
    record: int = 0,
    source: int = 0,
    destination: int = 0,
    size: int = 0,
    handle: int = 0,
    first_word: int = 0,
) -> bytes:
    """64 bytes (8.1); first_word: PASID and Privilege as a guest forges them."""
    return struct.pack("<IIQQQIHH24x", first_word, flags | opcode << 24, record, source, destination, size, handle, 0)


def firing(record: int, handle: int, *, first_word: int = 0) -> bytes:
    """A No-op with a record and an interrupt."""
    return descriptor(NOOP, flags=CRAV | RCR | RCI, record=record, handle=handle, first_word=first_word)


def move(source: int, destination: int, size: int, *, record: int = RECORDS, flags: int = CRAV | RCR, handle: int = 0) -> bytes:
    """A Memory Move."""
    return descriptor(
        MEMMOVE, flags=flags, record=record, source=source, destination=destination, size=size, handle=handle
    )


class Record(bytes):
    """A completion record (8.2)."""

    @property
    def status(self) -> int:
        return self[0]

    @property
    def bytes_completed(self) -> int:
        return int.from_bytes(self[4:8], "little")

    @property
    def fault_address(self) -> int:
        return int.from_bytes(self[8:16], "little")

    @property
    def invalid_flags(self) -> int:
        return int.from_bytes(self[16:20], "little")


class SwError:
    """SWERROR (9.2.16)."""

    def __init__(self, raw: bytes) -> None:
        self.words = struct.unpack("<4Q", raw)

    valid = property(lambda self: bool(self.words[0] & 1))
    overflow = property(lambda self: bool(self.words[0] & 2))
    info_valid = property(lambda self: bool(self.words[0] >> 7 & 1))
    code = property(lambda self: self.words[0] >> 8 & 0xFF)
    wq = property(lambda self: self.words[0] >> 16 & 0xFF)
    operation = property(lambda self: self.words[0] >> 32 & 0xFF)
    pasid = property(lambda self: self.words[0] >> 40 & 0xFFFFF)
    info = property(lambda self: self.words[1] >> 32)
    address = property(lambda self: self.words[2])


class GuestView:
    """What a guest does to its device: registers, portals, memory, interrupts. Messages say which vector they are of."""

    def __init__(self, machine: Machine, mdev: Mdev) -> None:
        self.machine, self.mdev = machine, mdev
        self.connect()

    def connect(self) -> None:
        """A VM at the mdev's socket, with RAM_SIZE bytes at RAM."""
        self.client = VfioUserClient.connect(self.mdev.socket, timeout=60)
        self.memory = self.client.dma_map(RAM, RAM_SIZE).memory
        self.client.region_read(CONFIG, 0, 4096)  # as QEMU does at first; from then on it shows all capabilities
        self.msix_table = self.read(MSIX_CONTROL + 2, 4, CONFIG)

    def disconnect(self) -> None:
        """The VM goes; returns when the device has noticed."""
        gone = self.mdev.vdev.server_stats().disconnections
        self.client.close()
        if not self.mdev.vdev.wait_disconnected(gone + 1, 30_000):
            raise TimeoutError("the device has not noticed that its client has gone")

    # ---- registers ----

    def read(self, offset: int, size: int = 4, region: int = BAR0) -> int:
        return int.from_bytes(self.client.region_read(region, offset, size), "little")

    def write(self, offset: int, value: int, size: int = 4, region: int = BAR0) -> None:
        """Returns when the device has taken it."""
        self.client.region_write(region, offset, value.to_bytes(size, "little"))

    def command(self, command: int, operand: int = 0, *, interrupt: bool = False) -> int:
        """Writes CMD and returns CMDSTATUS as it is then."""
        self.write(CMD, command << 20 | operand | interrupt << 31)
        return self.read(CMDSTATUS)

    def swerror(self) -> SwError:
        return SwError(b"".join(self.client.region_read(BAR0, SWERROR + 8 * i, 8) for i in range(4)))

    def registers(self) -> bytes:
        """All that BAR0 and the config space show."""
        words = [*range(0, 0x100, 8), *range(0x400, 0x500, 8), *range(WQCFG, WQCFG + 32, 8)]
        vectors = len(self.mdev.handles) + 1
        words += [*range(MSIXPERM, MSIXPERM + 8 * vectors, 8), *range(MSIX_TABLE, MSIX_TABLE + 16 * vectors, 8), PBA]
        bar0 = b"".join(self.client.region_read(BAR0, offset, 8) for offset in words)
        return bar0 + self.client.region_read(CONFIG, 0, 4096)

    # ---- start ----

    @property
    def message_address(self) -> int:
        """Of all vectors; the data is the vector's number."""
        return 0xFEE0_0000 | (self.mdev.id & 0xFF) << 12

    def set_vector(self, vector: int, *, masked: bool = False) -> None:
        """Message of a vector: its number is the data, the address names the guest."""
        base = self.msix_table + 16 * vector
        self.write(base, self.message_address, 8)
        self.write(base + 8, vector | masked << 32, 8)

    def mask_vector(self, vector: int, masked: bool) -> None:
        self.write(self.msix_table + 16 * vector + 12, int(masked))

    def msix_control(self, *, enable: bool = True, function_mask: bool = False) -> None:
        self.write(MSIX_CONTROL, enable << 15 | function_mask << 14, 2, CONFIG)

    def bus_master(self, on: bool) -> None:
        self.write(0x04, 0x6 if on else 0x2, 2, CONFIG)

    def start(self) -> Self:
        """As a driver does: bus master, MSI-X, device, work queue, all interrupt handles."""
        self.bus_master(True)
        self.msix_control()
        for vector in range(len(self.mdev.handles) + 1):
            self.set_vector(vector)
        self.enable()
        for vector, handle in enumerate(self.mdev.handles, start=1):
            status = self.command(Cmd.REQUEST_HANDLE, vector)
            if status != handle << 8:
                raise AssertionError(f"Request Interrupt Handle {vector}: CMDSTATUS {status:#x}")
        return self

    def enable(self) -> None:
        for command in (Cmd.ENABLE_DEVICE, Cmd.ENABLE_WQ):
            status = self.command(command)
            if status:
                raise AssertionError(f"{command.name}: CMDSTATUS {status:#x}")

    @property
    def handle(self) -> int:
        """Of vector 1."""
        return self.mdev.handles[0]

    @property
    def entry(self) -> Interrupt:
        """The entry of vector 1, as the host has it."""
        return self.mdev.interrupts[0]

    def ims_control(self, vector: int = 1) -> int:
        return self.mdev.interrupts[vector - 1].control

    # ---- work ----

    def store(self, data: bytes, offset: int = PORTAL) -> None:
        """A store of any size to a portal, posted as QEMU does."""
        self.client.region_write(BAR2, offset, data, posted=True)

    def store_pieces(self, desc: bytes, pieces: range | list[int], offset: int = PORTAL) -> None:
        """8-byte pieces of a descriptor, in this order."""
        for piece in pieces:
            self.store(desc[8 * piece : 8 * piece + 8], offset + 8 * piece)

    def sync(self) -> None:
        """When it returns, the device has taken all stores, and all interrupts that it has sent are here."""
        self.read(0)

    def submit(self, *descriptors: bytes) -> None:
        for desc in descriptors:
            self.store(desc)
        self.sync()

    def run(self, *descriptors: bytes) -> None:
        """Submits and has the engine do all that is queued."""
        self.submit(*descriptors)
        self.machine.step_all()

    def vectors(self) -> list[int]:
        """Vectors of the interrupts that have come since the last call. An interrupt that is not this guest's raises."""
        self.sync()
        taken, self.client.interrupts = self.client.interrupts, []
        for interrupt in taken:
            if interrupt.address != self.message_address:
                raise AssertionError(f"{interrupt} is not of guest {self.mdev.id}")
        return [interrupt.data for interrupt in taken]

    # ---- memory ----

    def put(self, address: int, data: bytes) -> None:
        self.memory[address - RAM : address - RAM + len(data)] = data

    def get(self, address: int, size: int) -> bytes:
        return bytes(self.memory[address - RAM : address - RAM + size])

    def record(self, address: int = RECORDS) -> Record:
        return Record(self.get(address, 32))

    def status(self, desc: bytes) -> int:
        """Runs one descriptor whose record is at RECORDS, and says how it ended; 0: no record was written."""
        self.put(RECORDS, bytes(32))
        self.run(desc)
        return self.record().status


class Machine:
    """A device without an engine, its host, and guests. Use as a context manager."""

    def __init__(
        self, folder: Path, *, config: DeviceConfig | None = None, wq_size: int = 16, ledger: int = 1 << 18,
        scope: Scope = Scope.DEVICE,
    ) -> None:  # fmt: skip
        self.folder = folder
        sizes = config or DeviceConfig(num_wqs=8, total_wq_size=8 * wq_size, num_ims=256)
        self.device = make_device(sizes, ledger_capacity=ledger)
        self.chip = PhysicalDevice(self.device, wq_size=wq_size)
        domain = open_domains(make_store(self.chip, VECTORS), scope)
        remapping = RemappingTable(self.device)
        self.parts = Parts(self.chip, PasidAllocator(), domain, remapping, VmIdAllocator(), describe)
        self.guests: list[GuestView] = []
        self._ids = 0

    def create(
        self, vectors: int = 2, mdev_type: str = "dsa-1dwq-v1", *, eventfd: bool = False, mapped_portal: bool = False
    ) -> Mdev:
        self._ids += 1
        socket = self.folder / f"m{self._ids}"
        return Mdev(
            self.parts, TYPES[mdev_type], self._ids, vectors, socket, eventfd=eventfd, mapped_portal=mapped_portal
        )

    def plug(
        self, vectors: int = 2, mdev_type: str = "dsa-1dwq-v1", *, eventfd: bool = False, mapped_portal: bool = False
    ) -> GuestView:
        """An mdev and a guest for it, not started."""
        guest = GuestView(self, self.create(vectors, mdev_type, eventfd=eventfd, mapped_portal=mapped_portal))
        self.guests.append(guest)
        return guest

    def started(self, vectors: int = 2) -> GuestView:
        return self.plug(vectors).start()

    def unplug(self, guest: GuestView) -> None:
        """The guest's mdev is destroyed; its VM goes on, so that it can be seen whether anything still comes."""
        guest.mdev.close()

    def step_all(self) -> int:
        """Has the engines do all that is queued; the number of descriptors."""
        steps = 0
        while self.device.step() or any(guest.mdev.vdev.step() for guest in self.guests if guest.mdev.type.own):
            steps += 1
        return steps

    def ledger(self, *kinds: Kind) -> list[LedgerRecord]:
        """Records since the last call, of these kinds or all. A loss raises."""
        records, lost = self.device.read_ledger()
        if lost:
            raise AssertionError(f"{lost} records lost")
        return [record for record in records if not kinds or record.kind in kinds]

    def close(self) -> None:
        for guest in self.guests:
            guest.client.close()
            guest.mdev.close()
        self.device.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def used(machine: Machine) -> Iterator[GuestView]:
    """A started guest, for fixtures: afterwards it and its mdev are gone, and the machine is as before."""
    guest = machine.started()
    yield guest
    guest.client.close()
    guest.mdev.close()
    machine.guests.remove(guest)
