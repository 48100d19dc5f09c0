"""The bottom of the link to an agent: its block in guest RAM, the doorbell, waiting, one command at a time."""

import asyncio
import mmap
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from guest_tests.agent_abi import AgentShared
from guest_tests.agent_elf import AgentElf, agent_symbols
from guest_tests.agent_errors import AgentCommandFailed, AgentCrashed, AgentLost, AgentTimeout, CrashReport
from guest_tests.agent_numbers import NOT_REACHED, Op, Result, Stage, Step

GRACE_S = 5.0
"""How much longer the host waits than the agent is told to: a busy machine is slow, not wrong."""

_LOOK_S = 0.0003
_MAX_TIMEOUT_US = 0xFFFFFFFF


class AgentChannel:
    """`block` in `ram`, and `serial`, its doorbell. Owns neither RAM nor socket."""

    def __init__(self, ram: mmap.mmap, serial: socket.socket, elf: Path, name: str) -> None:
        self.name = name
        self.ram = ram
        self.symbols = agent_symbols(elf)
        self.block = AgentShared.from_buffer(ram, self.symbols.shared)
        self.hint: Callable[[], str] = str
        self._elf = elf
        self._serial = serial
        self._lock = asyncio.Lock()
        self._waiters: set[asyncio.Future[None]] = set()
        self._lost: str | None = None
        self._loop = asyncio.get_running_loop()
        serial.setblocking(False)
        self._fd = serial.fileno()
        self._loop.add_reader(self._fd, self._rung)

    def close(self) -> None:
        """Stops listening; idempotent."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._fd = -1
        self.lose("the link was closed")

    def lose(self, reason: str) -> None:
        """Makes every wait, now and later, end with AgentLost."""
        if self._lost is None:
            self._lost = reason
        self._wake()

    def check(self, after_boot: int = 0) -> None:
        """Raises AgentCrashed or AgentLost if that is so. A crash in boot `after_boot` or earlier does not count."""
        boot = self.block.boot_count
        if self.block.stage == Stage.CRASHED and self.block.crash.valid == boot > after_boot:
            raise AgentCrashed(self.name, self._crash_report())
        if self._lost is not None:
            raise AgentLost(self.name, self._lost)

    async def until(
        self, condition: Callable[[], bool], timeout_s: float, problem: Callable[[], str], *, after_boot: int = 0
    ) -> None:
        """Waits for a condition on the block; looks after each doorbell. `problem` words the AgentTimeout."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self.check(after_boot)
                    await self._doorbell()
        except TimeoutError:
            # A last look: the byte may be late where the block is not.
            self.check(after_boot)
            if not condition():
                raise self.timeout(problem(), timeout_s) from None

    async def watch(self, condition: Callable[[], bool], timeout_s: float, problem: str) -> None:
        """Waits for a condition that rings no doorbell: looks every 0.3 ms."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self.check()
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise self.timeout(problem, timeout_s) from None

    def timeout(self, problem: str, timeout_s: float) -> AgentTimeout:
        """An AgentTimeout that says in which state the agent is."""
        block = self.block
        state = f"boot {block.boot_count}, stage {Stage(block.stage).name}, command {block.command.seq}"
        answer = f"answered {block.answer.seq}, step {Step(block.answer.step).name}, progress {block.answer.progress}"
        return AgentTimeout(self.name, f"{problem} after {timeout_s:g} s ({state}, {answer}){self._doing()}")

    def _doing(self) -> str:
        """What the guest does instead of what is waited for, if somebody knows."""
        hint = self.hint()
        return f"; it {hint}" if hint else ""

    async def execute(
        self,
        op: Op,
        slot: int,
        args: Sequence[int],
        timeout_s: float,
        *,
        total_s: float | None = None,
        accept: Sequence[Result] = (),
    ) -> Result:
        """Runs one command. `timeout_s`: each wait in the agent; `total_s`: the whole command (default: the same).

        A result that is neither OK nor in `accept` raises AgentCommandFailed. The block's answer holds until the next
        command: read it before awaiting anything else.
        """
        async with self._lock:
            limit_s = (timeout_s if total_s is None else total_s) + GRACE_S
            await self._until_answered(f"{self._running()} is still unanswered", limit_s)
            self._write(op, slot, args, timeout_s)
            await self._until_answered(f"{op.name} on slot {slot} is unanswered", limit_s)
            answer = self.block.answer
            result = Result(answer.result)
            if result is not Result.OK and result not in accept:
                raise AgentCommandFailed(
                    self.name, op=op, slot=slot, result=result, step=Step(answer.step), detail=answer.detail,
                    doing=self._doing() if result is Result.TIMEOUT else "",
                )  # fmt: skip
            return result

    def _write(self, op: Op, slot: int, args: Sequence[int], timeout_s: float) -> None:
        command = self.block.command
        command.op = op
        command.slot = slot
        command.timeout_us = min(int(timeout_s * 1e6), _MAX_TIMEOUT_US)
        for i in range(len(command.arg)):
            command.arg[i] = args[i] if i < len(args) else 0
        command.stop = 0
        command.seq = (command.seq + 1) & 0xFFFFFFFF
        self.check()
        try:
            self._serial.send(b"!")
        except BlockingIOError:
            pass  # bytes enough are on their way already
        except OSError as error:
            self.lose(f"its serial line is closed ({error})")

    async def _until_answered(self, problem: str, timeout_s: float) -> None:
        block = self.block
        await self.until(lambda: block.answer.seq == block.command.seq, timeout_s, lambda: problem)

    def _running(self) -> str:
        command = self.block.command
        return f"the earlier {Op(command.op).name} on slot {command.slot}"

    def _rung(self) -> None:
        try:
            heard = self._serial.recv(4096)
        except BlockingIOError:
            return
        except OSError as error:
            heard = b""
            self._lost = self._lost or f"its serial line failed ({error})"
        if not heard:
            self._loop.remove_reader(self._fd)
            self._fd = -1
            self.lose("its serial line was closed: QEMU has ended")
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _doorbell(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _crash_report(self) -> CrashReport:
        crash = self.block.crash
        return CrashReport(
            vector=crash.vector,
            error_code=crash.error_code,
            rip=crash.rip,
            rsp=crash.rsp,
            rflags=crash.rflags,
            cr2=crash.cr2,
            general=tuple(crash.general),
            op=None if crash.op == NOT_REACHED else Op(crash.op),
            was_message=bool(crash.was_message),
            where=AgentElf(self._elf).locate(crash.rip),
        )
