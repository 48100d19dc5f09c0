"""Where a probe acts: three guests that run already, fresh mdevs of a host that has the fault, and what came of all they did.

Guest 0 is the victim, guest 1 the one that attacks or that a mistake of the host is about, guest 2 has nothing to do with it.
Each descriptor is paced: the next one follows when this one has come to its end and every guest has counted what it was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from device_model.errors import DeviceError
from device_model.ledger import Kind
from guest_tests.agent_errors import AgentError
from guest_tests.agent_results import Item
from guest_tests.containment.outcome import Seen, Way
from guest_tests.containment.trail import Course, Trail
from guest_tests.descriptors import WITH_RECORD, Flag, Opcode, descriptor
from guest_tests.hold import Hold, until
from guest_tests.member import SLOT, Member
from guest_tests.rig import PORTAL, Rig
from host_ctl.errors import HostError
from host_ctl.host import Host
from host_ctl.interrupts import Organisation, Subdevice, VectorBlock

VECTORS = 2
PATIENCE_S = 20.0
"""Bound on a wait. What is waited for is known to come, whatever is planted: a hang is found."""
_GENSTS = 0x90
_RECORDS, _DATA, _LIST = 0x10_0000, 0x20_0000, 0x30_0000
"""From the beginning of the scratch memory, a page for each guest: the same addresses mean something in every guest."""
_PAGE, _SIZE = 0x1000, 256
_RCI = WITH_RECORD | Flag.RCI


class Scene:
    """The guests, the host with the fault, and a book of what was due."""

    def __init__(self, host: Host, members: Sequence[Member], folder: Path, seed: int, core_fault: int) -> None:
        self.host = host
        self.rig = Rig(host, members, folder, vectors=VECTORS, seed=seed)
        self.rig.patience_s = PATIENCE_S
        self.rig.core_fault = core_fault
        self.hold = Hold(self.rig)
        self.victim, self.subject, self.witness = self.members = self.rig.members
        self.subjects = {self.subject.index}
        self.trail = Trail(self.rig.record, folder)
        self.tried: list[int] = []
        """Causes of attempts: what they lead to is not due to anybody."""
        self.due: dict[int, int] = {}
        """Cause -> vector of the guest's own that it is due at."""
        self.dropped: Counter[int] = Counter()
        self.refusals_of_host: list[str] = []
        self._not_taken: Counter[int] = Counter()
        self._undelivered: Counter[int] = Counter()
        self._owner: dict[int, int] = {}
        self._blocks: dict[str, VectorBlock] = {}
        self._without_storage: set[int] = set()
        self._note_blocks()
        for member in self.members:
            self._paint(member)

    @property
    def organisation(self) -> Organisation:
        """Of the store."""
        return self.host.parts.domain.store.ORGANISATION

    # ---- mdevs ----

    def _note_blocks(self) -> None:
        """Keeps the blocks that mdevs get from now on."""
        allocate = self.host.parts.domain.allocate_block

        def note(owner: Subdevice, count: int) -> VectorBlock:
            block = self._blocks[owner.name] = allocate(owner, count)
            return block

        vars(self.host.parts.domain)["allocate_block"] = note

    async def create(self, member: Member) -> bool:
        """An mdev for a guest. False: the host refused."""
        try:
            await self.rig.create(member)
        except (HostError, DeviceError) as error:
            self.refusals_of_host.append(str(error))
            return False
        self._owner[member.device.id] = member.index
        return True

    async def enter(self, *members: Member) -> None:
        """Creates mdevs in this order, and plugs them into their guests, which bring them up."""
        for member in members:
            if not await self.create(member):
                raise HostError(self.refusals_of_host[-1])
        await asyncio.gather(*(self.rig.attach(member) for member in members))

    async def take_storage(self, member: Member) -> None:
        """The host takes a guest's interrupts away, and what leads to them; the guest goes on."""
        await asyncio.to_thread(self.host.parts.domain.free_block, self._blocks[member.device.subdevice.name])
        self._without_storage.add(member.device.id)

    async def leave(self) -> None:
        """Empties the guests' slots, whatever state the host is in."""
        self.hold.end()
        await asyncio.gather(*(self._leave(member) for member in self.members if member.mdev is not None))

    async def _leave(self, member: Member) -> None:
        with contextlib.suppress(AgentError, HostError, DeviceError, KeyError):  # a host with a fault may fall over its books
            await self.rig.unplug(member)
        member.mdev = None

    # ---- descriptors ----

    async def submit(self, member: Member, raws: Sequence[bytes], *, portal: int = PORTAL) -> list[int]:
        """Stores descriptors; returns the causes of those that were taken, when the device has seen all."""
        self.trail.refresh()
        await member.link.submit(SLOT, [Item(raw, wait_completion=False) for raw in raws], portal=portal)
        await member.link.mmio_read(SLOT, 0, _GENSTS)  # answered in order: behind the stores
        return self.trail.accepted(self.trail.refresh(), member.device.id)

    async def settle(self) -> None:
        """Returns when all descriptors have come to their end, and the guests have counted what they were sent."""
        await until(lambda: not self.trail.refresh() and self.trail.settled, PATIENCE_S, "descriptors have no end")
        for member in self.members:
            if member.mdev is not None:
                await self._counted(member)

    async def _counted(self, member: Member) -> None:
        sent = self._sent_into(member)
        for vector, count in sent.items():
            cpu_vector = member.cpu_vector(vector)
            before = member.link.counters().count[cpu_vector] - self.rig.record.counts(member).get(vector, 0)
            await member.link.wait_count(cpu_vector, before + count, PATIENCE_S)

    def _sent_into(self, member: Member) -> Counter[int]:
        sent: Counter[int] = Counter()
        for (mdev, vector), count in self.trail.injected.items():
            if self._owner.get(mdev) == member.index:
                sent[vector] += count
        return sent

    async def fire(self, *members: Member) -> None:
        """These guests fire each of their vectors, by the handles that they were given. All of that is due."""
        for member in members:
            for vector in member.vectors:
                causes = await self.submit(member, [self.firing(member, self.rig.handle(member, vector))])
                self.due |= dict.fromkeys(causes, vector)
                self._not_taken[member.index] += not causes
                await self.settle()

    async def fire_all(self) -> None:
        """All who have an mdev fire."""
        await self.fire(*(member for member in self.members if member.mdev is not None))

    async def reopen_and_fire(self, *members: Member) -> None:
        """One after the other: the host masks and opens a guest's entries, as whenever it moves an interrupt; then it fires."""
        for member in members:
            for interrupt in member.device.interrupts:
                interrupt.mask()
                interrupt.unmask()
            await self.fire(member)

    async def attempt(self, member: Member, raws: Sequence[bytes], *, portal: int = PORTAL) -> None:
        """Tries descriptors that are nobody's due, one at a time."""
        assert raws, "a probe that tries nothing shows nothing"
        for raw in raws:
            taken = await self.submit(member, [raw], portal=portal)
            self.tried += taken
            self._undelivered[member.index] += not taken
            await self.settle()

    async def attempt_handles(self, member: Member, handles: Iterable[int]) -> None:
        """Tries to fire with handles."""
        await self.attempt(member, [self.firing(member, handle) for handle in handles])

    def firing(self, member: Member, handle: int, *, pasid: int = 0, record: bool = True) -> bytes:
        """A No-op with an interrupt, and a record at an address that is this guest's alone to use."""
        where = self._place(member, _RECORDS) if record else 0
        return descriptor(Opcode.NOOP, flags=_RCI if record else Flag.RCI, record=where, handle=handle, pasid=pasid)

    def moving(self, member: Member, handle: int) -> bytes:
        """A Memory Move with an interrupt, that leaves a trace in the guest's own memory if it is executed."""
        data = self._place(member, _DATA)
        return descriptor(
            Opcode.MEMMOVE, flags=_RCI, record=self._place(member, _RECORDS), source=data, destination=data + _SIZE,
            size=_SIZE, handle=handle,
        )  # fmt: skip

    def batch(self, member: Member, members: Sequence[bytes]) -> bytes:
        """A batch of 2 to 32 members, without an interrupt of its own."""
        where = self._place(member, _LIST)
        member.link.memory(where, 64 * len(members))[:] = b"".join(members)
        return descriptor(Opcode.BATCH, record=self._place(member, _RECORDS), source=where, size=len(members))

    def noop(self, member: Member) -> bytes:
        """A No-op without an interrupt."""
        return descriptor(Opcode.NOOP, record=self._place(member, _RECORDS))

    async def batch_ran(self, member: Member, raws: Sequence[bytes]) -> None:
        """Tries members of a batch; each must have been a descriptor of its own."""
        before = set(self.trail.by_mdev(member.device.id))
        (whole,) = await self.submit(member, [self.batch(member, raws)])
        await self.settle()
        self.tried += [cause for cause in self.trail.by_mdev(member.device.id) if cause not in before and cause != whole]

    async def pour(self, member: Member, count: int) -> None:
        """Stores No-ops without interrupts as fast as the guest can; those that are not taken are its loss."""
        taken = await self.submit(member, [self.noop(member)] * count)
        self.dropped[member.index] += count - len(taken)

    async def hold_first(self, member: Member, vector: int = 1) -> list[int]:
        """Has the guest fire a vector; returns the cause when its record is written, and an engine is held before its message.

        Only then is its work queue busy for sure: who comes to quiet the queue has to wait, or is wrong not to.
        """
        record = member.link.memory(self._place(member, _RECORDS), 32)
        record[:] = bytes(32)  # of an earlier descriptor
        self.hold.begin()
        causes = await self.submit(member, [self.firing(member, self.rig.handle(member, vector))])
        await until(lambda: record[0] != 0, PATIENCE_S, f"guest {member.index} has no record of what is to be held")
        record[:] = bytes(32)
        return causes

    async def fire_held(self, member: Member) -> None:
        """The guest fires each of its vectors; the first is held, and the others behind it. All of that is due."""
        self.due |= dict.fromkeys(await self.hold_first(member), 1)
        for vector in member.vectors[1:]:
            causes = await self.submit(member, [self.firing(member, self.rig.handle(member, vector))])
            self.due |= dict.fromkeys(causes, vector)

    # ---- what came of it ----

    def _place(self, member: Member, kind: int) -> int:
        return member.link.scratch[0] + kind + _PAGE * member.index

    def _paint(self, member: Member) -> None:
        base, _ = member.link.scratch
        for kind in (_RECORDS, _DATA):
            member.link.memory(base + kind, _PAGE * len(self.members))[:] = bytes(_PAGE * len(self.members))
        member.link.memory(self._place(member, _DATA), _SIZE)[:] = bytes([0xA5]) * _SIZE

    def seen(self) -> Seen:
        """Everything since the beginning. AssertionError: nothing was due, so that nothing shows that it would have been seen."""
        assert self.due, "a probe that fires nothing shows nothing"
        return Seen(
            subjects=frozenset(self.subjects),
            sent=self._ways(),
            written=self._written(),
            unexplained={member.index: extra for member in self.members if (extra := self._extra(member))},
            lost=Counter(self._guest_of(cause) for cause in self.due if not self._arrived(cause)) + self._not_taken,
            undue=Counter(self._guest_of(cause) for cause in self.undue()),
            executed=self._executed(),
            dropped=self.dropped,
            refused=sum(not self._course(cause).reached for cause in self.tried)
            + self._undelivered.total()
            + len(self.refusals_of_host),
        )

    def _course(self, cause: int) -> Course:
        return self.trail.courses[cause]

    def _guest_of(self, cause: int) -> int:
        return self._owner[self._course(cause).requester]

    def _arrived(self, cause: int) -> bool:
        """In the guest whose it is; and at its vector, if it was due."""
        course = self._course(cause)
        vectors = [r.vector for r in course.records if r.kind == Kind.INJECTED and r.target == course.requester]
        return self.due[cause] in vectors if cause in self.due else bool(vectors)

    def missing(self, guest: int | None) -> list[int]:
        """Causes of what was due to a guest and did not come."""
        return [cause for cause in self.due if self._guest_of(cause) == guest and not self._arrived(cause)]

    def astray(self) -> list[int]:
        """Causes whose interrupt came to another guest; if there is none, of those who wrote there."""
        sent = [cause for cause, course in self.trail.courses.items() if cause and self._astray(course)]
        writers = {writer for writer, _ in self._written()}
        waiting = [cause for cause, _ in self._pending_elsewhere()]
        return sent or waiting or [cause for cause in (*self.due, *self.tried) if self._guest_of(cause) in writers]

    def _astray(self, course: Course) -> bool:
        sender = self._owner.get(course.requester)
        return any(self._owner[mdev] != sender for mdev, _ in course.reached)

    def undue(self) -> list[int]:
        """What was tried and came to the guest that tried it; what came though it was masked."""
        own = [cause for cause in self.tried if self._arrived(cause)]
        return own + [cause for cause in self.due if self._course(cause).sent_masked and self._arrived(cause)]

    def _ways(self) -> Counter[Way]:
        ways: Counter[Way] = Counter()
        for course in self.trail.courses.values():
            sender = self._owner.get(course.requester)
            for mdev, _ in course.reached:
                ways[sender, self._owner[mdev]] += 1
        for cause, guest in self._pending_elsewhere():
            ways[self._guest_of(cause), guest] += 1
        return ways

    def _pending_elsewhere(self) -> list[tuple[int, int]]:
        """(cause, guest): interrupts that are pending in a guest's entry, and that another guest has left there."""
        have = [m for m in self.members if m.mdev is not None and m.mdev.id not in self._without_storage]
        left = [(self.trail.last_at(i.entry), m.index) for m in have for i in m.device.interrupts if i.pending]
        return [(cause, guest) for cause, guest in left if cause and self._guest_of(cause) != guest]

    def _written(self) -> frozenset[tuple[int, int]]:
        return frozenset(
            (writer.index, member.index)
            for member in self.members
            for writer in self.members
            if writer is not member and any(member.link.memory(self._place(writer, _RECORDS), _PAGE))
        )

    def _extra(self, member: Member) -> int:
        """Interrupts that its handlers counted beyond what the ledger has."""
        counted, sent = self.rig.record.counts(member), self._sent_into(member)
        extra = sum(max(0, count - sent[vector]) for vector, count in counted.items())
        return extra + self.rig.record.strays(member)

    def _executed(self) -> Counter[int]:
        return Counter(
            member.index for member in self.members if any(member.link.memory(self._place(member, _DATA) + _SIZE, _SIZE))
        )
