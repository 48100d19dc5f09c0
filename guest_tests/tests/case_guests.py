"""Two guests for the attack and fault cases (docs/cases.md): an attacker and a victim, each with an mdev of one host.

They are started once for a module. After each test the attacker's device is reset and brought up again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from device_model.ledger import LedgerRecord
from guest_tests.agent_build import AgentImage
from guest_tests.agent_link import AgentLink
from guest_tests.agent_numbers import ItemResult, SlotState
from guest_tests.agent_results import Counters, EnableReport, Item, ItemOutcome
from guest_tests.descriptors import WITH_RECORD, Flag, Opcode, descriptor, firing_noop
from guest_tests.tests.agent_guests import AgentGuest, agent_guest
from host_ctl.host import Host
from host_ctl.mdev import Mdev
from host_ctl.run_folder import RunFolder
from qemu_patches import QemuBinary

SLOT, BAR0, PORTALS = 0, 0, 2
VECTORS = 2
PORTAL = 0x1000
GENCTRL, GENSTS, INTCAUSE, CMD, SWERROR = 0x88, 0x90, 0x98, 0xA0, 0xC0
RESET_DEVICE, REQUEST_HANDLE, INTERRUPT = 5 << 20, 13 << 20, 1 << 31
NO_MEMORY = 0x1_0000_0000_0000
"""A guest-physical address far beyond the RAM."""
MSI_WINDOW = 0xFEE0_1000


@dataclass(frozen=True, slots=True)
class SwError:
    """SWERROR (9.2.16)."""

    low: int
    address: int

    valid = property(lambda self: bool(self.low & 1))
    overflow = property(lambda self: bool(self.low & 2))
    code = property(lambda self: self.low >> 8 & 0xFF)


@dataclass(slots=True)
class Attendant:
    """One of the two: its agent, its mdev, and what its driver was told."""

    agent: AgentGuest
    mdev: Mdev
    report: EnableReport
    before: Counters
    canaries: int = 0
    """Interrupts of vector 0 since the test began that all_counted() has asked for."""

    @property
    def link(self) -> AgentLink:
        return self.agent.link

    @property
    def data(self) -> int:
        """Guest-physical address of scratch memory: 1 MiB for sources, and 1 MiB for destinations behind it."""
        return self.link.scratch[0] + 0x10_0000

    @property
    def records(self) -> int:
        """Where members of batches have their records, 32 bytes each."""
        return self.link.scratch[0] + 0x40_0000

    @property
    def batch_list(self) -> int:
        """Where batches have their list."""
        return self.link.scratch[0] + 0x41_0000

    def handle(self, vector: int = 1) -> int:
        return self.report.handles[vector]

    # ---- memory ----

    def put(self, address: int, data: bytes) -> None:
        self.link.memory(address, len(data))[:] = data

    def get(self, address: int, size: int) -> bytes:
        return bytes(self.link.memory(address, size))

    # ---- work ----

    async def submit(self, *descriptors: bytes, portal: int = PORTAL) -> list[ItemOutcome]:
        """Submits descriptors one by one, with the record's address put in, and waits for each one's record."""
        items = [Item(self.with_record(place, one)) for place, one in enumerate(descriptors)]
        return list((await self.link.submit(SLOT, items, portal=portal)).items)

    def with_record(self, place: int, raw: bytes) -> bytes:
        return raw[:8] + self.link.completion_address(place).to_bytes(8, "little") + raw[16:]

    async def status(self, raw: bytes) -> int:
        """How one descriptor ended."""
        (item,) = await self.submit(raw)
        return item.status

    async def post(self, *descriptors: bytes, portal: int = PORTAL) -> None:
        """Stores descriptors as they are and waits for none of them; the device has them then, for a read comes behind stores."""
        await self.link.submit(SLOT, [Item(one, wait_completion=False) for one in descriptors], portal=portal)
        await self.read(GENSTS, 4)

    async def post_and_drain(self, *descriptors: bytes, portal: int = PORTAL) -> None:
        """Stores descriptors as they are; returns when they have ended: a No-op behind them has (in order, 3.9)."""
        await self.post(*descriptors, portal=portal)
        await self.submit(descriptor(Opcode.NOOP))

    async def batch(self, *members: bytes, count: int | None = None, list_at: int | None = None) -> ItemOutcome:
        """Runs a batch of members whose records are put in; see member_records()."""
        self.put(self.records, bytes(32 * len(members)))
        raws = [one[:8] + (self.records + 32 * i).to_bytes(8, "little") + one[16:] for i, one in enumerate(members)]
        self.put(self.batch_list, b"".join(raws))
        size = len(members) if count is None else count
        (item,) = await self.submit(
            descriptor(Opcode.BATCH, source=self.batch_list if list_at is None else list_at, size=size)
        )
        return item

    def member_records(self, count: int) -> list[int]:
        """The members' status codes; 0: no record was written."""
        return [self.get(self.records + 32 * index, 1)[0] for index in range(count)]

    # ---- interrupts and errors ----

    async def fires(self, vector: int = 1) -> bool:
        """A No-op of its own interrupts once."""
        cpu_vector = self.link.slot(SLOT).vector_base + vector
        item = Item(firing_noop(self.link.completion_address(0), self.handle(vector)), expect_vector=cpu_vector)
        outcome = (await self.link.submit(SLOT, [item], portal=PORTAL)).items[0]
        return outcome.result is ItemResult.DONE and outcome.interrupts == 1

    def begin(self) -> None:
        """Counting begins anew."""
        self.before = self.link.counters()
        self.canaries = 0

    def counted(self) -> dict[int, int]:
        """MSI-X vector -> interrupts since the test began, canaries left out; strays are at vector -1.

        What the device has sent need not be here yet: QEMU hands interrupts on in its main loop, and the reply to a register
        read, which is not, may be faster.
        """
        now = self.link.counters()
        base = self.link.slot(SLOT).vector_base
        top = base + self.link.vectors_per_slot
        seen = {vector - base: n for vector, n in now.since(self.before).items() if base <= vector < top}
        seen[0] = seen.get(0, 0) - self.canaries
        seen[-1] = now.stray_total - self.before.stray_total
        return {vector: count for vector, count in seen.items() if count}

    async def arrived(self, vector: int, count: int = 1) -> None:
        """Returns when so many interrupts have been counted at a vector since the test began."""
        cpu_vector = self.link.slot(SLOT).vector_base + vector
        await self.link.wait_count(cpu_vector, self.before.count[cpu_vector] + count)

    async def all_counted(self) -> dict[int, int]:
        """counted(), when all that the device has sent so far has arrived.

        MSI-X must be on, no command active, and no interrupt of vector 0 on its way.

        The canary is the interrupt that a command asks for at its end, at vector 0. Interrupts do not overtake each other on
        their way, and of those that have arrived a CPU takes the one with the lowest vector last.
        """
        base = self.link.slot(SLOT).vector_base
        expected = self.link.counters().count[base] + 1
        await self.link.command(SLOT, INTERRUPT | REQUEST_HANDLE)  # of vector 0: refused, and changes nothing
        await self.link.wait_count(base, expected)
        self.canaries += 1
        return self.counted()

    async def read(self, offset: int, size: int = 8) -> int:
        return await self.link.mmio_read(SLOT, BAR0, offset, size)

    async def write(self, offset: int, value: int, size: int = 4) -> None:
        await self.link.mmio_write(SLOT, BAR0, offset, value, size)

    async def swerror(self) -> SwError:
        return SwError(await self.read(SWERROR), await self.read(SWERROR + 16))

    # ---- life ----

    async def start(self) -> None:
        self.report = await self.link.enable(SLOT, VECTORS)
        await self.write(SWERROR, 3, 8)
        await self.write(INTCAUSE, 0xFFFF_FFFF)
        await self.write(GENCTRL, 0)  # its own events would be interrupts at vector 0

    async def restart(self) -> None:
        """Whatever the test has left: bus master and MSI-X on, the device reset and enabled."""
        await self.link.config_write(SLOT, 4, 6, 2)
        await self.link.command(SLOT, RESET_DEVICE)
        with contextlib.suppress(Exception):  # of what a test has switched off already
            await self.link.disable(SLOT)
        await self.start()


@dataclass(frozen=True, slots=True)
class Pair:
    """An attacker and a victim that has done nothing yet."""

    attacker: Attendant
    victim: Attendant
    host: Host
    engine: threading.Lock = field(default_factory=threading.Lock)
    """Held by whoever has the engine in hands."""

    # ---- the engine, which serves both ----

    async def hold_engine(self) -> None:
        """What is queued from now on stays where it is, until the engine is let go or steps."""
        await asyncio.to_thread(self.host.device.stop_engines)

    async def step_engine(self, turns: int) -> None:
        """So many turns of an engine that is held, or fewer if it finds no more work. Of a batch, a member of 1 MiB or more."""

        def step() -> None:
            with self.engine:
                all(self.host.device.step() for _ in range(turns))

        await asyncio.to_thread(step)

    async def let_engine_go(self) -> None:
        """It works again as ever."""

        def start() -> None:
            with self.engine:
                self.host.device.start_engines()

        await asyncio.to_thread(start)

    # ---- what has happened ----

    def ledger(self) -> list[LedgerRecord]:
        """Records of the attacker since the test began, or since the last call. Those of its commands have cause 0."""
        records, lost = self.host.read_ledger()
        assert lost == 0
        return [record for record in records if record.requester == self.attacker.mdev.id]

    async def victim_is_untouched(self) -> bool:
        """No interrupt, nothing pending, no error; and it is no dead witness: its own interrupts arrive."""
        quiet = await self.victim.all_counted() == {}
        pending = [interrupt.pending for interrupt in self.victim.mdev.interrupts]
        error = await self.victim.swerror()
        alive = [await self.victim.fires(vector) for vector in range(1, VECTORS + 1)]
        own = await self.victim.all_counted() == dict.fromkeys(range(1, VECTORS + 1), 1)
        return quiet and own and not any(pending) and not error.valid and all(alive)


@pytest.fixture(scope="module")
async def both(qemu: QemuBinary, agent_image: AgentImage) -> AsyncIterator[Pair]:
    """The victim's mdev is made first: entry 0 of the store is the victim's."""
    host = Host()
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(RunFolder()).path
        stack.push_async_callback(asyncio.to_thread, host.close)
        names: Sequence[str] = ("victim", "attacker")
        attendants = []
        for name in names:
            agent = await stack.enter_async_context(agent_guest(qemu, folder, agent_image, name=name, ports=1))
            await agent.link.ready()
            mdev = await asyncio.to_thread(host.create, "dsa-1dwq-v1", VECTORS, folder)
            await agent.guest.plug("mdev", mdev.socket, SLOT)
            await agent.link.wait_slot(SLOT, SlotState.PRESENT)
            attendants.append(Attendant(agent, mdev, agent.link.last_enable(), agent.link.counters()))
        victim, attacker = attendants
        await victim.start()
        await attacker.start()
        yield Pair(attacker, victim, host)


@pytest.fixture
async def pair(both: Pair) -> AsyncIterator[Pair]:
    both.attacker.begin()
    both.victim.begin()
    both.host.read_ledger()  # what is in it is the past
    yield both
    await both.let_engine_go()
    await both.attacker.restart()


@pytest.fixture
def attacker(pair: Pair) -> Attendant:
    return pair.attacker


@pytest.fixture
def victim(pair: Pair) -> Attendant:
    return pair.victim


def move(source: int, destination: int, size: int, *, flags: Flag = WITH_RECORD, handle: int = 0) -> bytes:
    return descriptor(Opcode.MEMMOVE, flags=flags, source=source, destination=destination, size=size, handle=handle)


def unrecorded(raw: bytes, record: int) -> bytes:
    """The descriptor with a record at an address of the attacker's choice."""
    return raw[:8] + record.to_bytes(8, "little") + raw[16:]
