"""Commands in a Linux guest: shell scripts over a virtio-serial port, answered with status and output (see init.sh)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class ShellError(Exception):
    """A script failed, or its answer did not come."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a script ended, and all it wrote."""

    status: int
    output: str


class Shell:
    """One command at a time. Made before the guest starts, as it is the guest's QEMU that connects to `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._number = 0
        self._lock = asyncio.Lock()
        self._streams: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
        self._streams = asyncio.get_running_loop().create_future()
        self._server: asyncio.Server | None = None

    @classmethod
    async def listening(cls, path: Path) -> Self:
        """A shell that QEMU can be told of. OSError."""
        shell = cls(path)
        shell._server = await asyncio.start_unix_server(shell._connected, path)
        return shell

    @property
    def qemu_options(self) -> tuple[str, ...]:
        """What gives a guest the port."""
        return (
            *("-chardev", f"socket,id=shell,path={self.path}"),
            *("-device", "virtio-serial-pci,id=serials,bus=pcie.0,addr=0x1d"),
            *("-device", "virtserialport,bus=serials.0,chardev=shell,name=vdsa"),
        )

    async def ready(self) -> str:
        """Waits for the guest's init and returns the kernel's release. After a reboot, call it again. ShellError."""
        async with self._lock:
            reader, _ = await self._streams
            while True:
                line = await self._line(reader)
                if line.startswith("READY "):
                    return line.removeprefix("READY ")

    async def run(self, script: str) -> Answer:
        """Runs a script to its end. ShellError: the guest has gone, or answered something else."""
        async with self._lock:
            reader, writer = await self._streams
            self._number += 1
            writer.write(f"{self._number} {base64.b64encode(script.encode()).decode()}\n".encode())
            await writer.drain()
            words = (await self._line(reader)).split()
            if len(words) != 4 or words[:2] != ["DONE", str(self._number)]:
                raise ShellError(f"the guest answered {' '.join(words)[:100]!r} to command {self._number}")
            output = await reader.readexactly(int(words[3]))
            return Answer(int(words[2]), output.decode(errors="replace"))

    async def close(self) -> None:
        """Ends the connection. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._streams.done() and not self._streams.cancelled():
            self._streams.result()[1].close()
            with contextlib.suppress(OSError):
                await self._streams.result()[1].wait_closed()
        self._streams.cancel()

    async def _line(self, reader: asyncio.StreamReader) -> str:
        try:
            return (await reader.readuntil(b"\n")).decode(errors="replace").strip()
        except (asyncio.IncompleteReadError, OSError) as error:
            raise ShellError("the guest's connection has ended") from error

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._streams.done():
            self._streams.set_result((reader, writer))
