"""The linux rig: guests with Linux beside hostile agents, all on one device. Scenarios see it as the agents' rig with victims."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from guest_tests.linux import dmatest
from guest_tests.linux.idxd import IdxdDevice
from guest_tests.linux.victim import PORT, Plugged, Victim
from guest_tests.member import Member
from guest_tests.rig import MSG_TIMEOUT_MS, Rig
from host_ctl.host import Host
from host_ctl.mdev import Mdev
from host_ctl.options import DEFAULT_TYPE
from host_ctl.verdict import Window

T = TypeVar("T")

FIRST_COPIES = 8
"""Copies that show that a device which was just enabled works."""
LINUX_VECTORS = COPIES_VECTOR = 1
"""Linux takes vector n to be that of queue n - 1: as many vectors as queues, besides vector 0."""
SHUT_DOWN_BY_RESET, SHUT_DOWN_BY_DRIVER = 0, 1
"""Commands to a device that is enabled, as its guest goes down: a driver that shuts down sends Disable Device."""
COPIES_LIMIT_S = 300.0


async def _all_of(works: Iterable[Awaitable[T]]) -> list[T]:
    """What they return, when all have ended, be it by an error: then the first one is raised."""
    ended = await asyncio.gather(*works, return_exceptions=True)
    for one in ended:
        if isinstance(one, BaseException):
            raise one
    return [one for one in ended if not isinstance(one, BaseException)]


class LinuxRig(Rig):
    """`members` are the agents, `victims` the Linux guests. What a victim's copies were due is known from dmatest: it waits for
    the interrupt of each copy before it begins the next.
    """

    def __init__(
        self, host: Host, members: Sequence[Member], victims: Sequence[Victim], folder: Path, *, vectors: int, seed: int,
        eventfd: bool = False, mdev_type: str = DEFAULT_TYPE, mapped_portal: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            host, members, folder, vectors=vectors, seed=seed, eventfd=eventfd, mdev_type=mdev_type,
            mapped_portal=mapped_portal, bystanders=victims,
        )  # fmt: skip
        self.victims = list(victims)

    # ---- devices in and out of Linux ----

    async def plug_all(self) -> None:
        """The victims' first: their entries are the lowest, which attackers guess first."""
        await asyncio.gather(*(self.plug_linux(victim) for victim in self.victims))
        await super().plug_all()

    async def unplug_all(self) -> None:
        for victim in self.victims:
            for port in list(victim.ports):
                await self.unplug_linux(victim, port)
        await super().unplug_all()

    async def plug_linux(
        self, victim: Victim, port: int = PORT, mdev_type: str | None = None, *, first_copies: int = FIRST_COPIES,
        mapped_portal: bool | None = None,
    ) -> Plugged:
        """Hotplugs an mdev into the running guest; its driver binds it, its queues are enabled, and each has copied.

        mapped_portal: None: as those of the run.
        """
        mapped = self._mapped_portal if mapped_portal is None else mapped_portal
        mdev_type = mdev_type or self.mdev_type
        own = self.host.type(mdev_type).own
        vectors = LINUX_VECTORS if own is None else own.num_msix - 1
        mdev = await asyncio.to_thread(
            self.host.create, mdev_type, vectors, self.folder, eventfd=self._eventfd, mapped_portal=mapped
        )
        self.record.created(mdev, victim)
        victim.plugged += 1
        device_id = f"linux{victim.index}-{victim.plugged}"
        device = IdxdDevice(victim.linux, port)
        begin = time.perf_counter()
        added = await victim.linux.guest.plug(device_id, mdev.socket, port, msg_timeout_ms=MSG_TIMEOUT_MS)
        plugged = Plugged(mdev, device, device_id, await device.names(), mapped)
        self.timings.linux_bound.append((time.perf_counter() - begin) * 1e3)
        victim.ports[port] = plugged
        victim.runs.attach(device, plugged.names)
        await device.enable(plugged.names, plugged.wqs)
        if first_copies:
            await self.copy(victim, first_copies, port)
        self.timings.device_add.append(added.seconds * 1e3)
        return plugged

    async def unplug_linux(self, victim: Victim, port: int = PORT) -> None:
        """Takes an mdev out of the running guest and destroys it."""
        plugged = victim.ports[port]
        await victim.prepare_removal(port)
        self.timings.device_del.append(await victim.linux.guest.unplug(plugged.device_id) * 1e3)
        await plugged.device.absent()
        await victim.runs.detach(plugged.device)
        await self.forget(victim, port)

    async def forget(self, victim: Victim, port: int) -> None:
        """Destroys an mdev that is no longer in the guest."""
        plugged = victim.ports.pop(port)
        self.diagnosis.take(victim.index, plugged.mdev.vdev)
        await asyncio.to_thread(self.host.destroy, plugged.mdev)
        self.record.destroyed(plugged.mdev)

    # ---- copies ----

    async def copy(
        self, victim: Victim, iterations: int, port: int = PORT, *, renewed: bool = False
    ) -> list[dmatest.Outcome]:
        """Copies of random sizes by every queue of a device, verified. AssertionError: one failed. renewed: the queues have just
        been enabled.
        """
        if renewed:
            victim.ports[port].used = True
        else:
            await victim.renew(port)
        outcomes = await dmatest.copies(victim.linux, await victim.ports[port].device.channels(), iterations, COPIES_LIMIT_S)
        self._copied(victim, port, outcomes, iterations)
        return outcomes

    def _copied(self, victim: Victim, port: int, outcomes: list[dmatest.Outcome], iterations: int) -> None:
        wrong = dmatest.failed(outcomes, iterations)
        assert wrong is None, f"guest {victim.index}: {wrong}"
        assert len(outcomes) == victim.ports[port].wqs, f"guest {victim.index}: {len(outcomes)} queues copied"
        for outcome in outcomes:
            self.record.is_due(victim, 1 + int(outcome.channel.rpartition("chan")[2]), outcome.copies)

    @contextlib.asynccontextmanager
    async def copying(self, victims: Sequence[Victim], name: str = "") -> AsyncIterator[None]:
        """These victims copy all the while. They have before the body begins, and again after it has ended. AssertionError: a
        copy failed, or interrupts and copies differ in number. name: of a window that this is; empty: it is none.
        """
        try:
            running = await _all_of(self._start(victim) for victim in victims)
            yield
            outcomes = await _all_of(map(self._stop, victims, running))
        except BaseException:
            await asyncio.gather(*(dmatest.halt(victim.linux) for victim in victims), return_exceptions=True)
            raise
        for victim, outcome in zip(victims, outcomes, strict=True):
            self._copied(victim, PORT, outcome, 0)
        if name and victims:  # a run may have one Linux guest, and then there are no others
            watched = frozenset(victim.index for victim in victims)
            self.record.windows.append(Window(name, watched, watched, watched, paced=True))
        await self.check_victims(victims, name or "copying")

    async def time_copies(self, victim: Victim, count: int, port: int = PORT) -> list[float]:
        """Microseconds from one copy of 64 bytes to the next, of `count`; kept among the timings."""
        await victim.renew(port)
        plugged = victim.ports[port]
        run = await dmatest.start(victim.linux, await plugged.device.channels(), count, size=64, verbose=True)
        self._copied(victim, port, await run.finish(COPIES_LIMIT_S), count)
        intervals = run.intervals_us()
        kept = self.timings.dmatest_mapped if plugged.mapped_portal else self.timings.dmatest
        kept.extend(interval / 1e3 for interval in intervals)
        return intervals

    async def reset(self, victim: Victim) -> None:
        """Presses the guest's reset button, with its mdev plugged and enabled; returns when its queue is enabled again."""
        await self._restart(victim, victim.linux.reset, SHUT_DOWN_BY_RESET)

    async def reboot(self, victim: Victim) -> None:
        """The same by the guest itself, whose driver shuts the device down."""
        await self._restart(victim, victim.linux.reboot, SHUT_DOWN_BY_DRIVER)

    async def _restart(self, victim: Victim, how: Callable[[], Awaitable[None]], commands: int) -> None:
        plugged = victim.main
        await victim.runs.look()
        await how()
        await victim.linux.ready()
        victim.runs.rebooted(commands)
        victim.log_lines = 0
        plugged.names = await plugged.device.names()
        victim.runs.attach(plugged.device, plugged.names)
        await plugged.device.enable(plugged.names, plugged.wqs)
        plugged.used = False

    def some_victims(self) -> list[Victim]:
        """All, in an order of the seed's."""
        return self.random.sample(self.victims, len(self.victims))

    async def _start(self, victim: Victim) -> dmatest.Running:
        """Returns when the guest has taken a completion interrupt of these copies: a canary."""
        await victim.renew()
        device = victim.main.device
        return await dmatest.start(victim.linux, await device.channels(), 0, canary=victim.runs.line(device, COPIES_VECTOR))

    async def _stop(self, victim: Victim, run: dmatest.Running) -> list[dmatest.Outcome]:
        """Waits until the guest has taken another one than it had, then ends the copies."""
        return await run.stop(victim.runs.line(victim.main.device, COPIES_VECTOR))

    @contextlib.asynccontextmanager
    async def bystanders_hear(self, name: str) -> AsyncIterator[None]:
        """In every window of the agents the victims that have their mdev copy: 0 lost, 0 foreign."""
        async with self.copying([v for v in self.victims if PORT in v.ports], f"{name}, beside Linux"):
            yield

    # ---- counts ----

    async def check_victims(self, victims: Sequence[Victim], when: str) -> None:
        """AssertionError: a victim's completion interrupts are not those that were due; or its kernel complains."""
        complaints = await asyncio.gather(*(victim.look() for victim in victims))
        for victim, warnings in zip(victims, complaints, strict=True):
            seen = {vector: count for vector, count in self.record.counts(victim).items() if vector}
            due = {vector: count for (guest, vector), count in self.record.due.items() if guest == victim.index and vector}
            assert seen == due, f"{when}: guest {victim.index} counted {seen}, due {due}"
            assert victim.runs.unknown == 0, f"{when}: guest {victim.index} handled interrupts of no device of its own"
            assert not warnings, f"{when}: guest {victim.index}'s kernel complains: {warnings[0]}"

    def sent_to(self, victim: Victim, vector: int) -> int:
        """Interrupts that the device has sent to a victim's vector so far, by its ledger."""
        return self.record.summary().delivered().get((victim.index, vector), 0)

    def sent_into(self, mdev: Mdev) -> Counter[int]:
        """Vector -> interrupts that the device has sent into one mdev so far, by its ledger."""
        self.record.summary()
        return self.record.account.injected_at(mdev.id)

    async def settle(self) -> None:
        """The commands of a driver end with interrupts at vector 0, each of which it waits for: what the device sent was due."""
        for victim in self.victims:
            if victim.problem() is None:
                await victim.runs.look()
        delivered = self.record.summary().delivered()
        for victim in self.victims:
            self.record.due[victim.index, 0] = delivered.get((victim.index, 0), 0)
