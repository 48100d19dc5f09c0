"""The agent rig: a host with its device, and running guests with the bare-metal agent, each with one mdev hotplugged."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from device_model.config import DeviceConfig
from device_model.device import LEDGER_CAPACITY
from device_model.errors import DeviceError
from device_model.virtual_device import Vdev
from guest_tests.agent_link import ALL_STEPS
from guest_tests.agent_numbers import ConfigFlag, ItemResult, SlotState, Step
from guest_tests.agent_results import Item, ItemOutcome
from guest_tests.descriptors import Opcode, Status, descriptor, firing_noop
from guest_tests.diagnosis import Diagnosis
from guest_tests.member import SLOT, Counted, Member
from guest_tests.record import Record
from host_ctl.host import Host
from host_ctl.interrupts import Organisation, Scope, store_size
from host_ctl.options import DEFAULT_TYPE, SPARE
from host_ctl.pasid import PasidAllocator
from host_ctl.remapping import RemapEntry, RemappingTable

PORTAL = 0x1000
"""Offset of the portal page in BAR2: the limited MSI-X portal, as Linux's driver uses (DSA specification 9.3)."""
MSG_TIMEOUT_MS = 10_000
"""How long QEMU waits for the device: on a busy machine a thread may not run for a second."""
PATIENCE_S = 20.0
"""Bound on one wait of an agent for its device: a hang is found, a machine that is busy for seconds is borne."""
ATTACK_BATCH = 512
"""Items of one SUBMIT; the agent has places for 1,024."""

Work = Callable[[], Awaitable[object]]

_WHAT_CAME = {
    ItemResult.UNTOUCHED: "not submitted, one before it failed",
    ItemResult.SENT: "sent, nothing was waited for",
    ItemResult.DONE: "record and interrupt came",
    ItemResult.NO_COMPLETION: "no completion record came",
    ItemResult.NO_INTERRUPT: "no interrupt came",
    ItemResult.GONE: "the device has gone",
}


class NotArrived(AssertionError):  # noqa: N818
    """An interrupt or a record that was due did not come in time."""


@dataclass(slots=True)
class Timings:
    """Series that the rig measures as it goes, in milliseconds."""

    device_add: list[float] = field(default_factory=list)
    add_to_interrupt: list[float] = field(default_factory=list)
    eject: list[float] = field(default_factory=list)
    device_del: list[float] = field(default_factory=list)
    round_trip: list[float] = field(default_factory=list)
    linux_boot: list[float] = field(default_factory=list)
    linux_bound: list[float] = field(default_factory=list)
    dmatest: list[float] = field(default_factory=list)
    dmatest_mapped: list[float] = field(default_factory=list)


class Rig:
    """Plugs, fires, attacks and keeps the record. Scenarios are written against this class alone.

    `host` is replaced when faults are planted; `members` stay.
    """

    def __init__(
        self, host: Host, members: Sequence[Member], folder: Path, *, vectors: int, seed: int, eventfd: bool = False,
        mdev_type: str = DEFAULT_TYPE, mapped_portal: bool = False, bystanders: Sequence[Counted] = (),
    ) -> None:  # fmt: skip
        self.host = host
        self.members = list(members)
        self.folder = folder
        self.vectors = vectors
        self.mdev_type = mdev_type
        self.random = random.Random(seed)
        self.timings = Timings()
        self.everybody: list[Counted] = [*self.members, *bystanders]
        self.record = Record(self.everybody, host, folder)
        self._eventfd = eventfd
        self._mapped_portal = mapped_portal
        self._heard: frozenset[int] = frozenset()  # guests to which nothing has been done since their last canaries
        self.patience_s = PATIENCE_S
        self.core_fault = 0
        """What is planted in the device's core (enum planted_fault)."""
        self.diagnosis = Diagnosis()

    # ---- mdevs in and out of running guests ----

    async def plug(self, member: Member, meanwhile: Work | None = None) -> None:
        """Creates an mdev, hotplugs it into the running guest, and has the guest bring it up and take one interrupt.

        meanwhile: done when the guest has found its new device and has not enabled it yet.
        """
        await self.create(member)
        begin = time.perf_counter()
        begin += await self.attach(member, meanwhile=meanwhile)
        await self.fire(member, [1])
        self.timings.add_to_interrupt.append((time.perf_counter() - begin) * 1e3)

    async def create(self, member: Member) -> None:
        """Creates an mdev for a guest that has none."""
        self._heard -= {member.index}
        mdev = await asyncio.to_thread(
            self.host.create, self.mdev_type, self.vectors, self.folder,
            eventfd=self._eventfd, mapped_portal=self._mapped_portal,
        )  # fmt: skip
        member.link.configure(ConfigFlag.MAPPED_PORTAL if self._mapped_portal else ConfigFlag.NONE)
        self.record.created(mdev, member)
        member.mdev = mdev
        member.plugged += 1

    async def attach(
        self, member: Member, *, steps: Iterable[Step] = ALL_STEPS, meanwhile: Work | None = None
    ) -> float:
        """Hotplugs the guest's mdev into it while it runs, and has the guest bring it up; returns how long `meanwhile` took."""
        mdev = member.device
        added = await member.guest.plug(self._device_id(member), mdev.socket, SLOT, msg_timeout_ms=MSG_TIMEOUT_MS)
        await member.link.wait_slot(SLOT, SlotState.PRESENT, self.patience_s)
        elsewhere_s = await _seconds(meanwhile)
        report = await member.link.enable(SLOT, self.vectors, steps=steps, timeout_s=self.patience_s)
        self.record.handles[mdev.id] = [report.handles[vector] for vector in member.vectors]
        self.timings.device_add.append(added.seconds * 1e3)
        return elsewhere_s

    async def plug_all(self) -> None:
        """An mdev for everybody, one after the other."""
        for member in self.members:
            await self.plug(member)

    async def unplug_all(self) -> None:
        """Takes all mdevs out of the guests."""
        for member in self.members:
            if member.mdev is not None:
                await self.unplug(member)

    async def settle(self) -> None:
        """Called before what was seen is written down: whoever has to be asked for his counts, is."""

    async def unplug(self, member: Member, meanwhile: Work | None = None) -> None:
        """Takes the mdev out of the running guest and destroys it; returns when all of it is free.

        meanwhile: done when the guest has given the device up and the mdev is still there.
        """
        self._heard -= {member.index}
        mdev = member.device
        ejected = asyncio.create_task(self._time_eject(member))
        try:
            self.timings.device_del.append(await member.guest.unplug(self._device_id(member)) * 1e3)
            await ejected
        finally:
            ejected.cancel()
        member.mdev = None
        await _seconds(meanwhile)
        self.diagnosis.take(member.index, mdev.vdev)
        await asyncio.to_thread(self.host.destroy, mdev)
        self.record.destroyed(mdev)

    def diagnose_present(self) -> None:
        """Takes what the mdevs that are plugged have seen; they must go after it."""
        for member in self.everybody:
            with contextlib.suppress(DeviceError):  # closed while the run was being ended
                for mdev in member.mdevs:
                    self.diagnosis.take(member.index, mdev.vdev)

    async def _time_eject(self, member: Member) -> None:
        begin = time.perf_counter()
        generation = member.link.slot(SLOT).generation
        await member.link.wait_slot(SLOT, SlotState.EMPTY, PATIENCE_S, after_generation=generation)
        self.timings.eject.append((time.perf_counter() - begin) * 1e3)

    def _device_id(self, member: Member) -> str:
        return f"mdev{member.index}-{member.plugged}"

    # ---- interrupts that are due ----

    def handle(self, member: Member, vector: int) -> int:
        """The interrupt handle that the guest was given for a vector (1 and up)."""
        return self.record.handles[member.device.id][vector - 1]

    async def fire(self, member: Member, vectors: Iterable[int]) -> list[ItemOutcome]:
        """Fires at the guest's own vectors, one by one, each acknowledged before the next; AssertionError if one is not."""
        wanted = list(vectors)
        items = [
            Item(
                firing_noop(member.link.completion_address(place), self.handle(member, vector)),
                expect_vector=member.cpu_vector(vector),
            )
            for place, vector in enumerate(wanted)
        ]
        submission = await member.link.submit(SLOT, items, portal=PORTAL, timeout_s=self.patience_s)
        for vector, outcome in zip(wanted, submission.items, strict=True):
            self.record.is_due(member, vector)
            where = f"guest {member.index}, vector {vector}"
            if outcome.result is not ItemResult.DONE:
                raise NotArrived(f"{where}: {_WHAT_CAME[outcome.result]}, status {outcome.status:#04x}")
            assert not outcome.interrupt_came_first, f"{where}: the interrupt came before the completion record"
            assert outcome.status == Status.SUCCESS, (
                f"guest {member.index}, vector {vector}: status {outcome.status:#04x}"
            )
            if outcome.interrupt_us is not None:
                self.timings.round_trip.append(outcome.interrupt_us / 1e3)
        return list(submission.items)

    async def arrived(self, member: Member, vector: int) -> None:
        """Waits until the guest has counted all that is due at a vector. AgentTimeout: it does not come."""
        already = member.link.counters().count[member.cpu_vector(vector)] - self.record.counts(member).get(vector, 0)
        await member.link.wait_count(
            member.cpu_vector(vector), already + self.record.due[member.index, vector], self.patience_s
        )

    async def mute(self, member: Member) -> None:
        """Masks a guest's vectors where the device sees it, so that nothing counts as sent: by its guest in the MSI-X that the
        device has; with eventfds, which are signalled whatever the guest masks in QEMU's MSI-X, by the host in the entries.
        """
        if self._eventfd:
            for interrupt in member.device.interrupts:
                interrupt.mask()
            return
        for vector in member.vectors:
            await member.link.mask(SLOT, vector, masked=True)

    def unpaced(self, wanted: int) -> int:
        """How many interrupts may be fired at a masked vector: of several signals of an eventfd QEMU makes one interrupt, so that
        the ledger would tell of more than the guest can have counted. A device that has the mask itself sends one.
        """
        return 1 if self._eventfd else wanted

    async def becomes_pending(self, member: Member, vector: int) -> bool:
        """Whether the guest sees a vector's pending bit set, before long: by eventfd it is QEMU that sets it, when it looks."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.patience_s):
                while not await member.link.pending(SLOT, vector):
                    pass
                return True
        return False

    async def shows_pending(self, member: Member, vector: int) -> bool:
        """Whether the guest sees in its PBA what the host holds back. By eventfd the PBA is QEMU's, which knows nothing: True."""
        return self._eventfd or await member.link.pending(SLOT, vector)

    # ---- silence ----

    @contextlib.asynccontextmanager
    async def silence(self, name: str, *, among: Sequence[Member] | None = None) -> AsyncIterator[None]:
        """A window in which nothing may arrive but what is due, between canaries that reach all watched guests.

        An interrupt that should not have been is sent before the second canary, and takes the same way: when the canary
        has arrived, it would have. The second canaries of a window are the first ones of the next, if nothing is done to a guest
        between the two. AssertionError: a guest counted more, or less, than was due.
        """
        watched = list(self.members if among is None else among)
        heard, self._heard = self._heard & {member.index for member in watched}, frozenset()
        before = heard | await self._canaries([member for member in watched if member.index not in heard])
        async with self.bystanders_hear(name):
            yield
            after = self._heard = await self._canaries(watched)
        self.record.window(name, watched, before, after)
        self.record.check_counts(watched, name)
        self.record.read_ledger()

    @contextlib.asynccontextmanager
    async def bystanders_hear(self, name: str) -> AsyncIterator[None]:
        """Those who are in every window, whoever else is watched: a rig that has some says how they are. `name`: the window's."""
        yield

    async def _canaries(self, watched: Sequence[Member]) -> frozenset[int]:
        async def canary(member: Member) -> int:
            await self.fire(member, member.vectors)
            return member.index

        return frozenset(await asyncio.gather(*(canary(member) for member in watched)))

    # ---- attempts that are not ----

    async def attempt(
        self, member: Member, descriptors: Sequence[bytes], *, window: int = 32, portal: int = PORTAL
    ) -> list[ItemOutcome]:
        """Submits descriptors whose records the agent waits for; byte 8 to 15 of each is replaced by its record's address."""
        self._heard -= {member.index}
        outcomes: list[ItemOutcome] = []
        for start in range(0, len(descriptors), ATTACK_BATCH):
            batch = descriptors[start : start + ATTACK_BATCH]
            items = [Item(self.with_record(member, place, one)) for place, one in enumerate(batch)]
            submission = await member.link.submit(SLOT, items, portal=portal, window=window, timeout_s=self.patience_s)
            outcomes.extend(submission.items)
        return outcomes

    async def attempt_unrecorded(self, member: Member, descriptors: Sequence[bytes], *, portal: int = PORTAL) -> None:
        """Submits descriptors that ask for no record, one by one; a No-op behind each shows when it is over (in order, 3.9)."""
        for one in descriptors:
            await member.link.submit(SLOT, [Item(one, wait_completion=False)], portal=portal, timeout_s=self.patience_s)
            await self.attempt(member, [descriptor(Opcode.NOOP)])

    def with_record(self, member: Member, place: int, raw: bytes) -> bytes:
        """A descriptor with the address of the record that the agent looks at for the item at `place`."""
        return raw[:8] + member.link.completion_address(place).to_bytes(8, "little") + raw[16:]

    async def attempt_handles(self, member: Member, handles: Iterable[int]) -> list[ItemOutcome]:
        """Fires No-ops with interrupt handles that are not the guest's to use."""
        return await self.attempt(member, [firing_noop(0, handle) for handle in handles])

    def foreign_handles(self, member: Member) -> list[int]:
        """All handles that the host gave to the other guests' mdevs, each once; try them while they are not its own."""
        others = [other.mdev for other in self.members if other is not member and other.mdev]
        return list(dict.fromkeys(handle for mdev in others for handle in mdev.handles))

    def close(self) -> None:
        """Ends the device; the guests belong to somebody else."""
        self.host.close()


async def _seconds(work: Work | None) -> float:
    """Does it, if there is any; how long it took."""
    begin = time.perf_counter()
    if work is not None:
        await work()
    return time.perf_counter() - begin


def assert_refused(outcomes: Iterable[ItemOutcome]) -> None:
    """Every attempt was refused with status 0x19 and nothing completed (DSA specification 5.4). AssertionError otherwise."""
    for number, outcome in enumerate(outcomes):
        assert outcome.result is ItemResult.DONE, f"attempt {number}: {_WHAT_CAME[outcome.result]}"
        assert outcome.status == Status.HANDLE, f"attempt {number}: status {outcome.status:#04x}, a refusal is 0x19"
        assert outcome.completion[4:8] == bytes(4), f"attempt {number}: refused, but bytes were completed"


class ScatteredPasids(PasidAllocator):
    """Pairs of neighbours, each pair 0x1001 above the one before: PASIDs that differ in their lowest bit alone, and such
    that agree in their lowest twelve. A device that compares a part of the PASID is seen.
    """

    _turn = 0

    def _advance(self) -> None:
        self._turn += 1
        pair, second = divmod(self._turn, 2)
        self._next = self._first + (pair * 0x1001 + second) % (self._last - self._first + 1)


class ShuffledRemapping(RemappingTable):
    """Gives out the last free entry but one, so that one used again is of another vector: what has been kept of it is seen."""

    def allocate(self, vdev: Vdev, vector: int) -> RemapEntry:
        self._free[-2:] = reversed(self._free[-2:])
        return super().allocate(vdev, vector)


def device_sizes(mdevs: int, vectors: int, organisation: Organisation, scope: Scope) -> DeviceConfig:
    """A device with room for so many mdevs of `vectors` vectors, and for no more than its store's granularity gives."""
    size = store_size(organisation, scope, mdevs, vectors)
    return DeviceConfig(
        num_wqs=min(255, mdevs),
        total_wq_size=min(0xFFFF, mdevs * 64),
        num_ims=size.num_ims,
        num_msix=size.num_msix,
        organisation=organisation,
    )


def make_host(
    guests: int, vectors: int, *, spare: int = SPARE, trace: Path | None = None,
    organisation: Organisation = Organisation.ARRAY, scope: Scope = Scope.DEVICE, ledger_capacity: int = LEDGER_CAPACITY,
) -> Host:  # fmt: skip
    """A host whose device has room for `guests` mdevs of `vectors` vectors and some to spare. trace: a file for one.

    ledger_capacity: records between two looks of the rig, a power of two.
    """
    config = device_sizes(guests + spare, vectors, organisation, scope)
    host = Host(config, scope=scope, mdev_vectors=vectors, trace=trace, ledger_capacity=ledger_capacity)
    host.parts.pasids = ScatteredPasids()
    host.parts.remapping = ShuffledRemapping(host.device)
    return host
