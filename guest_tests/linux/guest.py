"""A Linux guest: QEMU, kernel log and shell, owned by one object."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from guest_tests.linux.image import LinuxImage
from guest_tests.linux.kernel_log import KernelLog
from guest_tests.linux.shell import Answer, Shell, ShellError
from host_ctl.errors import GuestDied
from host_ctl.guest import Guest
from host_ctl.guest_command import GuestSpec
from qemu_patches import QemuBinary
from qemu_patches.capability import MOVDIR64B

T = TypeVar("T")

RAM_MIB = 256
BOOT_LIMIT_S = 120.0
"""Bound on a boot: it takes 3 to 6 s of a CPU."""
COMMAND_LIMIT_S = 60.0
_LOG = "==== kernel log ===="
LOG_LINES = 2000
"""Of the kernel's log on the serial line that are kept beside QEMU's, for the evidence of a run that fails."""
TRACE_LIMIT_S = 5.0
"""How long a kernel in trouble may take to write what it has to say."""
MACHINE = ("graphics=off", "vmport=off", "smbus=off", "sata=off", "usb=off", "i8042=off")
"""q35 without what Linux would only spend time on. It does want its timers: PIT, HPET."""
KERNEL_OPTIONS = (
    "console=ttyS0 loglevel=5 quiet mitigations=off no_timer_check nokaslr iomem=relaxed panic=0 random.trust_cpu=on "
    "nowatchdog rcupdate.rcu_cpu_stall_suppress=1 tsc=reliable trace_clock=global"
)
"""On the serial line only warnings and worse; a kernel that panics stands still, so that it can be seen. iomem: root may store to
a BAR that a driver has, which is how a scenario submits a descriptor that the driver never would. tsc: one clock is not held
against another, which on a busy host it does not stand.
"""


class LinuxTrouble(Exception):  # noqa: N818
    """The guest's kernel met something that it should not have, or a script failed. The message has the kernel's log."""


class LinuxGuest:
    """A running Linux guest. Made by linux_guest()."""

    def __init__(self, guest: Guest, shell: Shell, log: KernelLog, image: LinuxImage) -> None:
        self.guest = guest
        self.name = guest.name
        self.image = image
        self.log = log
        self._shell = shell
        self._lines: list[str] = []

    async def ready(self, limit_s: float = BOOT_LIMIT_S) -> None:
        """Returns when init obeys commands. LinuxTrouble: it does not in time, or it is another kernel; GuestDied."""
        release = await self._watched(self._shell.ready(), limit_s, "the guest has not booted")
        self._lines.clear()
        if release != self.image.release:
            raise LinuxTrouble(f"{self.name} runs Linux {release}, the image is of {self.image.release}")

    async def run(self, script: str, limit_s: float = COMMAND_LIMIT_S) -> str:
        """What a script writes. LinuxTrouble: it failed, or did not end in time; GuestDied."""
        answer = await self.attempt(script, limit_s)
        if answer.status != 0:
            raise await self._failed(f"status {answer.status} of {script!r}: {answer.output.strip()}")
        return answer.output

    async def attempt(self, script: str, limit_s: float = COMMAND_LIMIT_S) -> Answer:
        """How a script ends, which may be a failure. LinuxTrouble: it did not end in time; GuestDied."""
        return await self._watched(self._shell.run(script), limit_s, f"no answer to {script!r}")

    async def reset(self) -> None:
        """Presses its reset button; ready() waits for it to be back."""
        await self.guest.reset()

    async def reboot(self) -> None:
        """Has it reboot itself; ready() waits for it to be back."""
        await self.run("(sleep 0.2; reboot -f) >/dev/null 2>&1 &")

    async def kernel_log(self) -> list[str]:
        """All lines that the kernel has written since it was booted, each with its level before it."""
        await self.run_and_read_log("")
        return self._lines

    async def run_and_read_log(self, script: str, limit_s: float = COMMAND_LIMIT_S) -> str:
        """run(), and what the kernel has written until the end of it becomes part of `lines`. The kernel keeps none of it:
        its buffer, which forgets, has room for what comes.
        """
        output, _, log = (await self.run(f"set -e\n{script}\necho {_LOG}\ndmesg -r -c", limit_s)).rpartition(f"{_LOG}\n")
        self._lines += log.splitlines()
        return output

    @property
    def lines(self) -> Sequence[str]:
        """Of the kernel's log, as of the last time that it was read."""
        return self._lines

    def check(self) -> None:
        """LinuxTrouble, if the kernel has written what a healthy one does not."""
        if self.log.trouble.done():
            raise LinuxTrouble(f"{self.name}: {self.log.trouble.result()}\n{self.log.tail()}")

    async def _check_at_leisure(self) -> None:
        """check(), when the kernel has had the time to write all of it."""
        if self.log.trouble.done():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.log.told.wait(), TRACE_LIMIT_S)
        self.check()

    async def _watched(self, work: Awaitable[T], limit_s: float, problem: str) -> T:
        task = asyncio.ensure_future(self.guest.or_died(work))
        either: tuple[asyncio.Future[Any], ...] = (task, self.log.trouble)
        try:
            await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            await self._check_at_leisure()
            if not task.done():
                raise LinuxTrouble(f"{self.name}: {problem} in {limit_s:g} s{self._hint()}\n{self.log.tail()}")
            return task.result()
        except ShellError as error:
            await asyncio.wait({self.guest.died}, timeout=1.0)  # the end of its process may be known a moment later
            if self.guest.died.done():
                raise self.guest.died.result().again() from error
            raise LinuxTrouble(f"{self.name}: {error}\n{self.log.tail()}") from error
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _hint(self) -> str:
        hint = self.guest.hint()
        return f", it {hint}" if hint else ""

    async def _failed(self, what: str) -> LinuxTrouble:
        log = ""
        with contextlib.suppress(LinuxTrouble, GuestDied):
            log = "\n".join([*self.lines, *(await self.attempt("dmesg -r")).output.splitlines()][-40:])
        return LinuxTrouble(f"{self.name}: {what}\n{log}")


@contextlib.asynccontextmanager
async def linux_guest(
    image: LinuxImage, qemu: QemuBinary, folder: Path, *, name: str = "linux", ports: int = 2, reboots: bool = False,
    accelerator: str = "tcg",
) -> AsyncIterator[LinuxGuest]:  # fmt: skip
    """A started guest, which need not have booted yet; closed at the end. reboots: that a guest reboots is no failure.

    Raises ValueError: this QEMU has no MOVDIR64B, without which the driver does not load; what Guest.start() raises.
    """
    if accelerator == "tcg" and MOVDIR64B not in qemu.capabilities:
        raise ValueError("Linux's idxd needs MOVDIR64B, which only the patched QEMU has under TCG: `make qemu-patched`")
    shell = await Shell.listening(folder / f"{name}.shell")
    try:
        spec = linux_spec(image, shell, name=name, ports=ports, reboots=reboots, accelerator=accelerator)
        async with await Guest.start(spec, qemu, folder) as guest:
            log = KernelLog(guest.serial)
            try:
                yield LinuxGuest(guest, shell, log, image)
            finally:
                log.close()
                (folder / f"{name}-kernel.log").write_text(log.tail(LOG_LINES))
    finally:
        await shell.close()


def linux_spec(
    image: LinuxImage, shell: Shell, *, name: str, ports: int, reboots: bool, accelerator: str
) -> GuestSpec:  # fmt: skip
    """What QEMU is told."""
    boot = ("-kernel", str(image.vmlinuz), "-initrd", str(image.initrd), "-append", KERNEL_OPTIONS)
    return GuestSpec(
        name,
        ram_mib=RAM_MIB,
        ports=ports,
        accelerator=accelerator,
        hotplug="acpi",
        extra=(*boot, *shell.qemu_options),
        cpu="max,la57=off",
        machine=MACHINE,
        tb_size_mib=64,
        reset_is_death=not reboots,
    )


async def boot_seconds(started: float, guest: LinuxGuest) -> float:
    """Seconds from `started` (time.perf_counter) to the moment the guest obeys."""
    await guest.ready()
    return time.perf_counter() - started
