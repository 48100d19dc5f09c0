"""The host's side of one bare-metal agent: commands, slots, interrupt counters."""

import asyncio
import mmap
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from guest_tests.agent_abi import AgentEnable, AgentInterrupts
from guest_tests.agent_channel import AgentChannel
from guest_tests.agent_errors import AgentError, SlotFailed
from guest_tests.agent_items import COMPLETION_OFFSET, ITEMS_OFFSET, SIZE, read_items, write_items
from guest_tests.agent_numbers import (
    MAGIC,
    NOT_REACHED,
    ConfigFlag,
    Fault,
    Limit,
    Op,
    Result,
    SlotState,
    Stage,
    Step,
    Vector,
)
from guest_tests.agent_results import Counters, EnableReport, Item, Ready, RingEntry, SlotInfo, Spin, Submission

ALL_STEPS = (Step.MSIX, Step.GENCTRL, Step.DEVICE, Step.WQ, Step.HANDLES)
DEVICE_WAIT_S = 5.0
"""How long the agent waits for the device, unless told otherwise."""

_ENDED_EARLY = (Result.TIMEOUT, Result.GONE)


class AgentLink:
    """Talks to the agent whose guest has `ram` as its memory and `serial` as the host's end of its serial line.

    Owns neither: it closes neither, and must be closed before they are. Commands do not interleave, whoever calls;
    counters may be read at any time. Every coroutine may raise AgentCrashed, AgentTimeout (the agent is silent) or
    AgentLost, and commands AgentCommandFailed (the agent answers, but not OK). `timeout_s` of a command is how long
    the agent waits for its device. `vectors_per_slot`: the layout of the CPU's vectors that enable() follows.
    """

    def __init__(
        self, ram: mmap.mmap, serial: socket.socket, elf: Path, *, name: str = "agent", vectors_per_slot: int = 32
    ) -> None:
        self.name = name
        self.vectors_per_slot = vectors_per_slot
        self._channel = AgentChannel(ram, serial, elf, name)
        self._block = self._channel.block
        self._items_in_use = asyncio.Lock()

    @property
    def hint(self) -> Callable[[], str]:
        """Asked when the guest hangs: what it does instead, as `keeps reading ...`; empty: nobody knows."""
        return self._channel.hint

    @hint.setter
    def hint(self, hint: Callable[[], str]) -> None:
        self._channel.hint = hint

    def close(self) -> None:
        """Stops listening and lets go of the RAM. Idempotent."""
        self._channel.close()

    def connection_lost(self, reason: str) -> None:
        """To be called by the guest's owner when QEMU has died: everybody who waits gets AgentLost."""
        self._channel.lose(reason)

    def check(self) -> None:
        """Raises AgentCrashed or AgentLost if that is so; asks nothing of the guest."""
        self._channel.check()

    def configure(self, flags: ConfigFlag = ConfigFlag.NONE, spin_us: int = 0) -> None:
        """How the guest behaves from its next look on. Allowed before it boots; survives resets.

        `spin_us`: how long the agent polls before it halts its CPU between looks (0: its default of 50 us).
        """
        self._block.config.flags = flags
        self._block.config.spin_us = spin_us

    @property
    def stage(self) -> Stage:
        """How far the agent has come."""
        return Stage(self._block.stage)

    async def ready(self, timeout_s: float = 30.0, *, after_boot: int = 0) -> Ready:
        """Waits until a boot later than `after_boot` obeys commands."""
        block = self._block
        await self._channel.until(
            lambda: block.ready > after_boot, timeout_s, lambda: "the agent is not ready", after_boot=after_boot
        )
        if block.magic != MAGIC or block.abi_version != Limit.ABI_VERSION:
            raise AgentError(self.name, f"this is no agent of version {Limit.ABI_VERSION}: build it again")
        boot_us = (block.tsc_ready - block.tsc_entered) * 1000 / (block.tsc_khz or 1)
        return Ready(block.ready, block.slot_count, block.tsc_khz, boot_us)

    # Slots

    def slot(self, slot: int) -> SlotInfo:
        """What the agent knows of a slot now. Slots are numbered as their root ports lie on bus 0."""
        return SlotInfo.of(slot, self._block.slots[slot], self._block.tsc_khz)

    async def wait_slot(
        self, slot: int, state: SlotState, timeout_s: float = 10.0, *, after_generation: int = -1
    ) -> SlotInfo:
        """Waits until a slot is in `state`, at a generation later than `after_generation`. Raises SlotFailed too."""
        block = self._block.slots[slot]

        def settled() -> bool:
            return block.generation > after_generation and block.state in (state, SlotState.FAILED)

        def problem() -> str:
            return f"slot {slot} is {SlotState(block.state).name} (generation {block.generation}), not {state.name}"

        await self._channel.until(settled, timeout_s, problem)
        info = self.slot(slot)
        if info.state != state:
            raise SlotFailed(self.name, f"slot {slot}: {info.error.name} ({info.vendor:04x}:{info.device:04x})")
        return info

    async def eject(self, slot: int) -> None:
        """Has the guest give a device up unasked."""
        await self._channel.execute(Op.EJECT, slot, (), DEVICE_WAIT_S)

    # Interrupts

    def counters(self) -> Counters:
        """The interrupt counters now; asks nothing of the guest."""
        block = self._block.interrupts
        return Counters(tuple(block.count), tuple(block.stray), block.stray_total, block.ring_head)

    async def wait_count(self, vector: int, at_least: int, timeout_s: float = 10.0) -> int:
        """Waits until a CPU vector has fired `at_least` times since the guest was started. Returns the count.

        Interrupts ring no doorbell (that would slow them down), so this looks every 0.3 ms.
        """
        counts = self._block.interrupts.count
        what = f"vector {vector:#x} has not fired {at_least} times"
        await self._channel.watch(lambda: counts[vector] >= at_least, timeout_s, what)
        return int(counts[vector])

    def ring(self, since: int = 0) -> tuple[RingEntry, ...]:
        """Interrupts in their order, from number `since` (a Counters.ring_head) on. Only the last 1024 are kept."""
        return _ring(self._block.interrupts, since)

    def vector_base(self, slot: int) -> int:
        """The CPU vector of a slot's MSI-X entry 0 in the default layout. Raises ValueError beyond the last vector."""
        base = Vector.DEVICE + slot * self.vectors_per_slot
        if base + self.vectors_per_slot > Vector.SPURIOUS:
            raise ValueError(f"slot {slot} with {self.vectors_per_slot} vectors a slot: a CPU has no vector for it")
        return base

    # Device

    async def enable(
        self,
        slot: int,
        vectors: int,
        *,
        base: int | None = None,
        steps: Iterable[Step] = ALL_STEPS,
        wq: int = 0,
        timeout_s: float = DEVICE_WAIT_S,
    ) -> EnableReport:
        """MSI-X entries 0 to `vectors` on, device and WQ enabled, a handle for each of entries 1 to `vectors`.

        A failing step raises AgentCommandFailed (step, and CMDSTATUS as detail); last_enable() has the rest.
        """
        first = self.vector_base(slot) if base is None else base
        args = (vectors, first, _bits(steps), wq)
        await self._channel.execute(Op.ENABLE, slot, args, timeout_s)
        return self.last_enable()

    async def disable(
        self,
        slot: int,
        *,
        steps: Iterable[Step] = ALL_STEPS,
        wq: int = 0,
        timeout_s: float = DEVICE_WAIT_S,
    ) -> EnableReport:
        """WQ and device disabled, MSI-X off, the vectors given back: what still arrives is stray."""
        await self._channel.execute(Op.DISABLE, slot, (_bits(steps), wq), timeout_s)
        return self.last_enable()

    def last_enable(self) -> EnableReport:
        """What the last enable() or disable() saw, if it failed too."""
        return _report(self._block.enable)

    async def command(self, slot: int, value: int, timeout_s: float = DEVICE_WAIT_S) -> int:
        """Writes CMD and returns CMDSTATUS when it is no longer Active, whatever error it holds."""
        await self._channel.execute(Op.COMMAND, slot, (value,), timeout_s)
        return self._value()

    async def mmio_read(self, slot: int, bar: int, offset: int, size: int = 4) -> int:
        """One load of 1, 2, 4 or 8 bytes, aligned."""
        await self._channel.execute(Op.MMIO_READ, slot, (bar, offset, size), DEVICE_WAIT_S)
        return self._value()

    async def mmio_write(self, slot: int, bar: int, offset: int, value: int, size: int = 4) -> None:
        """One store of 1, 2, 4 or 8 bytes, aligned."""
        await self._channel.execute(Op.MMIO_WRITE, slot, (bar, offset, size, value), DEVICE_WAIT_S)

    async def config_read(self, slot: int, offset: int, size: int = 4) -> int:
        """One read of 1, 2 or 4 bytes of the device's configuration space."""
        await self._channel.execute(Op.CONFIG_READ, slot, (offset, size), DEVICE_WAIT_S)
        return self._value()

    async def config_write(self, slot: int, offset: int, value: int, size: int = 4) -> None:
        """One write of 1, 2 or 4 bytes to the device's configuration space."""
        await self._channel.execute(Op.CONFIG_WRITE, slot, (offset, size, value), DEVICE_WAIT_S)

    async def mask(self, slot: int, entry: int, masked: bool) -> int:
        """Masks or opens one MSI-X entry; returns its vector control as read back."""
        await self._channel.execute(Op.VECTOR_MASK, slot, (entry, int(masked)), DEVICE_WAIT_S)
        return self._value()

    async def mask_function(self, slot: int, masked: bool) -> int:
        """Sets or clears MSI-X's function mask; returns Message Control as read back."""
        await self._channel.execute(Op.FUNCTION_MASK, slot, (int(masked),), DEVICE_WAIT_S)
        return self._value()

    async def pending(self, slot: int, entry: int) -> bool:
        """An MSI-X entry's pending bit, read from the PBA."""
        bar, offset = self.slot(slot).msix_pba
        word = await self.mmio_read(slot, bar, offset + entry // 64 * 8, 8)
        return bool(word >> entry % 64 & 1)

    @property
    def answered_at(self) -> int:
        """The guest's TSC when the last command was answered."""
        return self._block.answer.tsc_end

    async def nop(self) -> None:
        """A command that does nothing: the agent is alive."""
        await self._channel.execute(Op.NOP, 0, (), DEVICE_WAIT_S)

    # Descriptors

    @property
    def scratch(self) -> tuple[int, int]:
        """Guest-physical address and size of the RAM that is the host's own, for buffers and lists."""
        start = self._channel.symbols.scratch
        return start, len(self._channel.ram) - start

    def memory(self, address: int, size: int) -> memoryview:
        """Guest RAM to read and write; let go of it before the RAM is closed."""
        if address < 0 or size < 0 or address + size > len(self._channel.ram):
            raise ValueError(f"{address:#x} + {size:#x} is outside the guest's RAM")
        return memoryview(self._channel.ram)[address : address + size]

    def completion_address(self, place: int) -> int:
        """Guest-physical address of the completion record of the item at `place` (0 to 1023)."""
        return self._item_address(place) + COMPLETION_OFFSET

    async def submit(
        self,
        slot: int,
        items: Sequence[Item],
        *,
        portal: int,
        bar: int = 2,
        window: int = 1,
        first: int = 0,
        timeout_s: float = DEVICE_WAIT_S,
    ) -> Submission:
        """Puts items at places `first` and on, and submits them in order with up to `window` outstanding.

        With window 1 an item's interrupt is waited for as well as its completion; with more only the completions are.
        Ends at the first item that stays without what it waits for; `timeout_s` counts for each item anew.
        `portal`: offset of a portal page in `bar`.
        """
        place = self._items(first, len(items))
        args = (first, len(items), bar, portal, window)
        total_s = timeout_s * len(items)
        async with self._items_in_use:
            write_items(place, items)
            result = await self._channel.execute(Op.SUBMIT, slot, args, timeout_s, total_s=total_s, accept=_ENDED_EARLY)
            answer = self._block.answer
            outcomes = read_items(place, len(items), self._block.tsc_khz)
            return Submission(result, Step(answer.step), answer.value[1], answer.value[0], outcomes)

    async def spin(
        self,
        slot: int,
        item: Item,
        *,
        portal: int,
        maximum: int,
        bar: int = 2,
        place: int = 0,
        timeout_s: float = DEVICE_WAIT_S,
        total_s: float = 600.0,
    ) -> Spin:
        """Fires one item again and again, each time waiting for what it is due, until stop_spin() or `maximum` times.

        `timeout_s` counts for each firing anew. A cancelled spin() stops too.
        """
        async with self._items_in_use:
            write_items(self._items(place, 1), (item,))
            try:
                result = await self._channel.execute(
                    Op.SPIN, slot, (place, bar, portal, maximum), timeout_s, total_s=total_s, accept=_ENDED_EARLY
                )
            except BaseException:
                self.stop_spin()
                raise
            answer = self._block.answer
            return Spin(result, Step(answer.step), answer.value[0])

    def stop_spin(self) -> None:
        """Ends a running spin() after the firing that it is in.

        A spin() that has not been given to the agent yet is not stopped: await wait_progress(1) after starting one.
        """
        self._block.command.stop = 1

    @property
    def progress(self) -> int:
        """How far the running (or last) submit() or spin() is: items retired, descriptors fired."""
        return self._block.answer.progress

    async def wait_progress(self, at_least: int, timeout_s: float = 10.0) -> None:
        """Waits until the running submit() or spin() has come to `at_least`. Looks every 0.3 ms."""
        what = f"the progress has not come to {at_least}"
        await self._channel.watch(lambda: self.progress >= at_least, timeout_s, what)

    async def wait_step(self, step: Step, timeout_s: float = 10.0) -> None:
        """Waits until the running command is in `step`. Looks every 0.3 ms."""
        answer = self._block.answer
        await self._channel.watch(lambda: answer.step == step, timeout_s, f"no command is in step {step.name}")

    # Deliberate faults

    async def fault(self, kind: Fault) -> None:
        """Has the agent fault. Never returns: raises AgentCrashed, or AgentTimeout or AgentLost for some kinds."""
        await self._channel.execute(Op.FAULT, 0, (kind,), 0)

    def _value(self) -> int:
        return int(self._block.answer.value[0])

    def _item_address(self, place: int) -> int:
        if not 0 <= place < Limit.ITEMS:
            raise ValueError(f"item {place}: there are places 0 to {Limit.ITEMS - 1}")
        return self._channel.symbols.shared + ITEMS_OFFSET + place * SIZE

    def _items(self, first: int, count: int) -> memoryview:
        if count < 1 or first + count > Limit.ITEMS:
            raise ValueError(f"{count} items from place {first} on: there are {Limit.ITEMS} places")
        return self.memory(self._item_address(first), count * SIZE)


def _bits(steps: Iterable[Step]) -> int:
    return sum(1 << step for step in set(steps))


def _report(block: AgentEnable) -> EnableReport:
    reached = [(i, block.handle_status[i]) for i in range(Limit.HANDLES)]
    handles = {i: block.handle[i] for i in range(Limit.HANDLES) if block.handle[i] != NOT_REACHED}
    return EnableReport(
        device_status=None if block.device_status == NOT_REACHED else block.device_status,
        wq_status=None if block.wq_status == NOT_REACHED else block.wq_status,
        handles=handles,
        handle_status={i: status for i, status in reached if status != NOT_REACHED},
    )


def _ring(block: AgentInterrupts, since: int) -> tuple[RingEntry, ...]:
    head = block.ring_head
    entries = (block.ring[number % Limit.RING] for number in range(max(since, head - Limit.RING, 0), head))
    return tuple(RingEntry(entry.tsc, entry.vector, bool(entry.stray)) for entry in entries)
