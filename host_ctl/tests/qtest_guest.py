"""A guest without a CPU: the test does what its software would do, over QEMU's qtest protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from host_ctl.guest import Guest
from host_ctl.tests.real_qemu import halting
from qemu_patches import QemuBinary

_PORT_DEVICE = 1
_PCIE_CAPABILITY = 0x10
_SLOT_CONTROL = 0x18
_POWER_ON = 0x100  # power indicator on, power controller on
_POWER_OFF = 0x700  # power indicator off, power controller off


class QtestPort:
    """Root port 0 of `guest`, seen from inside."""

    def __init__(self, guest: Guest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.guest = guest
        self._reader = reader
        self._writer = writer

    async def command(self, text: str) -> str:
        """One qtest command; the answer without its OK."""
        self._writer.write(text.encode() + b"\n")
        answer = (await asyncio.wait_for(self._reader.readline(), 20)).decode().split()
        assert answer[0] == "OK", answer
        return answer[1] if len(answer) > 1 else ""

    async def power_on(self) -> None:
        """What a guest does on finding a card in the slot."""
        await self._slot_control(_POWER_ON)

    async def eject(self) -> None:
        """What a guest does to give a card up."""
        await self._slot_control(_POWER_OFF)

    async def _slot_control(self, value: int) -> None:
        offset = await self._config_byte(0x34)
        while await self._config_byte(offset) != _PCIE_CAPABILITY:
            offset = await self._config_byte(offset + 1)
        await self._select(offset + _SLOT_CONTROL)
        await self.command(f"outw {0xCFC + (offset + _SLOT_CONTROL) % 4:#x} {value:#x}")

    async def _config_byte(self, offset: int) -> int:
        await self._select(offset)
        return int(await self.command(f"inb {0xCFC + offset % 4:#x}"), 16)

    async def _select(self, offset: int) -> None:
        await self.command(f"outl 0xcf8 {0x80000000 | _PORT_DEVICE << 11 | offset & ~3:#x}")


@asynccontextmanager
async def qtest_guest(qemu: QemuBinary, folder: Path) -> AsyncIterator[QtestPort]:
    """A started qtest guest with one root port."""
    path = folder / "qtest.sock"
    extra = ("-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "/dev/null")
    async with await Guest.start(halting(folder, accelerator="qtest", extra=extra), qemu, folder) as guest:
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            yield QtestPort(guest, reader, writer)
        finally:
            writer.close()
