"""The core and its model in lockstep: the same steps for both, and after each step all that can be seen compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from device_model.config import DeviceConfig
from device_model.tests.direct_rig import RAM, DirectDevice, DirectVdev
from device_model.tests.model.ims import Entry
from device_model.tests.model.memory import Memory
from device_model.tests.model.status import CommandStatus, IntCause, SwError
from host_ctl.interrupts import Scope, make_store, open_domains
from host_ctl.interrupts.vm_id import VmIdAllocator
from host_ctl.mdev import Mdev, Parts, describe
from host_ctl.mdev_type import TYPES
from host_ctl.pasid import PasidAllocator
from host_ctl.physical import PhysicalDevice
from host_ctl.remapping import RemappingTable

WQS, WQ_SIZE = 5, 3
WATCHED_ENTRIES = (*range(16), 128, 255)
"""Of the IMS: those that mdevs get, and others that a host may write."""
_GENCFG, _GENCTRL, _GENSTS, _INTCAUSE, _CMD, _CMDSTATUS, _SWERROR = 16, 17, 18, 19, 20, 21, 24
_FIXED = 0x100 // 8


class SparsePasids(PasidAllocator):
    """PASIDs of which each differs from another in one bit only, high or low."""

    def __init__(self) -> None:
        super().__init__()
        self._turn: Iterator[int] = cycle(
            (0x00001, 0x80001, 0x00011, 0x00003, 0x10001, 0x80000, 0xFFFFF, 0x00010, 0x00002)
        )

    def allocate(self) -> int:
        self._next = next(pasid for pasid in self._turn if pasid not in self._used)
        return super().allocate()


@dataclass(slots=True)
class Guest:
    """A slot of the host with an mdev in it."""

    mdev: Mdev
    vdev: DirectVdev
    constants: list[int]
    remaps: list[int]
    """Entries of the interrupt remapping table that lead to vectors 1 and up."""
    checked: int = 0
    """Interrupts that have been compared."""
    last: tuple[list[int], bytes, bytes, int] | None = None
    """What the check before saw: BAR0, config space, memory, number of interrupts."""


@dataclass(slots=True)
class _Seen:
    """What the core shows after a step, for the model to choose what it may choose."""

    lockstep: Lockstep
    queue: int

    def memory(self, memory: Memory, address: int, size: int) -> bytes:
        guest = next(g for g in self.lockstep.guests if g.vdev.model.guest_memory is memory)
        return bytes(guest.vdev.memory[address - RAM : address - RAM + size])

    def error_code(self) -> int | None:
        owner = next((g for g in self.lockstep.guests if g.mdev.wq == self.queue), None)
        if owner and not owner.vdev.model.swerror.valid:
            return owner.vdev.words()[_SWERROR] >> 8 & 0xFF
        if not self.lockstep.device.model.swerror.valid:
            return self.lockstep.device.words()[_SWERROR] >> 8 & 0xFF
        return None


@dataclass(slots=True)
class Lockstep:
    """`slots` mdevs at most. close() when done."""

    slots: int = 4
    strict: bool = True
    """The host does what it should: a guest sees only its own doings, and the host's with it."""
    device: DirectDevice = field(init=False)
    chip: PhysicalDevice = field(init=False)
    parts: Parts = field(init=False)
    by_slot: list[Guest | None] = field(init=False)
    stale: list[int] = field(default_factory=list)
    """Handles of mdevs that are gone."""
    _constants: list[int] = field(init=False)
    _offsets: list[int] = field(init=False)
    _ids: int = 0

    def __post_init__(self) -> None:
        self.device = DirectDevice(DeviceConfig(num_wqs=WQS, total_wq_size=WQS * WQ_SIZE, num_ims=256))
        self.chip = PhysicalDevice(self.device, wq_size=WQ_SIZE)
        domain = open_domains(make_store(self.chip, 16), Scope.DEVICE)
        remapping = RemappingTable(self.device)
        self.parts = Parts(self.chip, SparsePasids(), domain, remapping, VmIdAllocator(), describe)
        self._offsets = self.device.watch(WATCHED_ENTRIES)
        self._constants = self.device.words()[:_FIXED]
        self.by_slot = [None] * self.slots

    @property
    def guests(self) -> list[Guest]:
        return [guest for guest in self.by_slot if guest]

    # ---- the life of mdevs ----

    def create(self, slot: int, vectors: int) -> Guest:
        self.end_host_command()
        self._ids += 1
        mdev = Mdev(self.parts, TYPES["dsa-1dwq-v1"], self._ids, vectors, Path("none"), eventfd=False)
        vdev = mdev.vdev
        assert isinstance(vdev, DirectVdev)
        entries = (self.device.model.ims.entries[interrupt.entry] for interrupt in mdev.interrupts)
        guest = Guest(mdev, vdev, vdev.words(), [entry.address >> 5 & 0x7FFF for entry in entries])
        self.by_slot[slot] = guest
        return guest

    def destroy(self, slot: int) -> None:
        self.end_host_command()
        guest, self.by_slot[slot] = self.by_slot[slot], None
        if guest:
            self.stale = [*guest.mdev.handles, *self.stale][:8]
            guest.mdev.close()

    def start(self, guest: Guest) -> None:
        """As a driver does."""
        vdev = guest.vdev
        vdev.write_config(0x04, b"\x06\x00")
        vdev.write_config(0x82, b"\x00\x80")
        for vector in range(len(guest.mdev.handles) + 1):
            vdev.write(vdev.model.tables.msix + 16 * vector, 0xFEE0_0000 | guest.mdev.id << 12, 8)
            vdev.write(vdev.model.tables.msix + 16 * vector + 8, vector, 8)
        for code, operand in [(1, 0), (6, 0), *((13, v + 1) for v in range(len(guest.mdev.handles)))]:
            vdev.write(0xA0, code << 20 | operand)

    def configure(self) -> None:
        """The device and every mdev's part of it, after a reset."""
        self.end_host_command()
        self.chip._configure()
        for guest in self.guests:
            kind = guest.mdev.type
            self.chip.program_wq(
                guest.mdev.wq, guest.mdev.pasid, max_xfer_log2=kind.max_xfer_log2, max_batch_log2=kind.max_batch_log2
            )
            for interrupt, index in zip(guest.mdev.interrupts, guest.remaps, strict=True):
                interrupt.program(0xFEE0_0010 | index << 5, 0)

    def close(self) -> None:
        self.device.close()

    # ---- the engine ----

    def step(self) -> Guest | None:
        """One descriptor, if there is one. The guest of its queue."""
        before = [len(queue.work) for queue in self.device.model.queues]
        worked = self.device.step()
        now = self.device.queued()
        taken = [index for index in range(WQS) if now[index] != before[index]]
        assert worked == any(before), f"the engine says {worked}, queued are {before}"
        if not worked:
            return None
        assert [before[i] - now[i] for i in taken] == [1], f"queued {before} before a step, {now} after it"
        guest = next((g for g in self.guests if g.mdev.wq == taken[0]), None)
        self.device.model.step(taken[0], _Seen(self, taken[0]))
        return guest

    def end_host_command(self) -> None:
        """The host waits for its command; without a thread that runs the engine, by running it."""
        while self.device.model.command.active:
            self.step()

    # ---- comparison ----

    def check(self, allowed: Guest | None = None, *, anybody: bool = False) -> None:
        """All that can be seen of both. Unless `anybody`, no guest but `allowed` has seen anything change."""
        self._check_chip()
        for guest in self.guests:
            self._check_guest(guest, may_change=anybody or not self.strict or guest is allowed)

    def _check_chip(self) -> None:
        model, seen = self.device.model, self.device.words()
        expected = list(self._constants)
        _put_status(expected, seen, model.genctrl, model.state, model.causes, model.command, model.swerror)
        expected[_GENCFG] = model.gencfg
        expected += (model.group.get(8 * i, 0) | model.group.get(8 * i + 4, 0) << 32 for i in range(6))
        for queue in model.queues:
            expected += queue.words()
        for index in WATCHED_ENTRIES:
            expected += model.ims.entries[index].words()
        if seen != expected:
            _tell("the physical device", self._offsets, seen, expected)

    def _check_guest(self, guest: Guest, *, may_change: bool) -> None:
        vdev, model = guest.vdev, guest.vdev.model
        who, seen, expected = f"mdev {guest.mdev.id}", vdev.words(), list(guest.constants)
        _put_status(expected, seen, model.genctrl, model.state, model.causes, model.command, model.swerror)
        at = _FIXED + 6
        vectors = model.msix.vectors
        expected[at : at + 4] = model.queue_words()
        expected[at + 4 :] = [vector.permissions for vector in vectors] + model.msix.words() + [model.pending_bits()]
        if seen != expected:
            _tell(who, vdev.offsets(), seen, expected)
        config, memory, count = vdev.config_space(), bytes(vdev.memory), vdev.message_count
        assert config == model.config.data, f"config space of {who}: {config.hex()}, not {model.config.data.hex()}"
        if memory != model.guest_memory.data:
            _tell_memory(who, memory, model.guest_memory.data)
        arrived, due = vdev.messages(guest.checked), model.messages[guest.checked :]
        assert arrived == due, f"interrupts of {who}: {arrived} arrived, {due} were due"
        guest.checked = count
        now = (seen, config, memory, count)
        assert may_change or guest.last in (None, now), f"{who} saw something of what is another's"
        guest.last = now

    def check_wiped(self) -> None:
        """With all mdevs gone every entry of the whole IMS is as after a reset, and nothing leads anywhere."""
        assert self.device.ims_words() == [*Entry().words()] * self.device.model.layout.num_ims
        assert self.device.iommu_entries() == (0, 0)
        assert all(not entry.requested for entry in self.device.model.ims.entries)


def _put_status(
    expected: list[int],
    seen: list[int],
    genctrl: int,
    state: int,
    causes: IntCause,
    command: CommandStatus,
    swerror: SwError,
) -> None:
    """The registers that change, into a list of the fixed registers by 8 bytes."""
    expected[_GENCTRL], expected[_GENSTS] = genctrl, state
    expected[_INTCAUSE] = causes.value
    expected[_CMD], expected[_CMDSTATUS] = seen[_CMD], command.settle(seen[_CMDSTATUS])  # CMD reads as anything
    expected[_SWERROR : _SWERROR + 4] = swerror.settle(tuple(seen[_SWERROR : _SWERROR + 4]))


def _tell(who: str, offsets: list[int], seen: list[int], expected: list[int]) -> None:
    triples = zip(offsets, seen, expected, strict=True)
    told = [f"at {offset:#x} {s:#018x}, not {e:#018x}" for offset, s, e in triples if s != e]
    raise AssertionError(f"{who} reads " + "; ".join(told))


def _tell_memory(who: str, seen: bytes, expected: bytearray) -> None:
    at = next(i for i, (s, e) in enumerate(zip(seen, expected, strict=True)) if s != e) & ~31
    raise AssertionError(
        f"memory of {who} at {RAM + at:#x}: {seen[at : at + 32].hex()}, not {expected[at : at + 32].hex()}"
    )
