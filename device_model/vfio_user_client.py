"""A vfio-user client without a VM: the rig "client", and the way to send what no honest client would.

`VfioUserClient` does one thing at a time: a call sends a command and returns its answer; meanwhile it serves the
DMA_READ and DMA_WRITE commands of the server from its own memory (`MemoryRange`) and collects message interrupts. It
knows nothing of DSA.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import json
import mmap
import os
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from device_model import vfio_user_protocol as proto
from device_model.vfio_user_protocol import Command, DeviceInfo, Flags, Header, Interrupt, IrqInfo, Message, RegionInfo

PAGE_SIZE = 4096
MAPPABLE_ROOM = 8192
"""argsz of a question about a region: room for an area for each of 255 work queues."""
_ROOM_FOR_FDS = socket.CMSG_SPACE(16 * 4)
DEFAULT_CAPABILITIES = {
    "capabilities": {
        "max_msg_fds": 16,
        "max_data_xfer_size": 1048576,
        "max_dma_maps": 65535,
        "pgsizes": 4096,
        "write_multiple": False,
    }
}


class VfioUserError(Exception):
    """The server refused a command; `errno` is what it said."""

    def __init__(self, command: int, error: int) -> None:
        super().__init__(f"command {command} was refused: {errno.errorcode.get(error, error)} ({os.strerror(error)})")
        self.errno = error
        self.command = command


class DisconnectedError(ConnectionError):
    """The server closed the connection."""


class UnexpectedMessageError(Exception):
    """The server sent what does not fit: a wrong id, command or size."""


@dataclass(slots=True)
class MemoryRange:
    """`size` bytes of guest memory at `iova`, in a memfd (`fd` >= 0, `memory` maps it) or a plain buffer (`fd` -1)."""

    iova: int
    size: int
    memory: mmap.mmap | bytearray
    fd: int = -1

    def close(self) -> None:
        """Gives the memfd back. Idempotent."""
        if isinstance(self.memory, mmap.mmap):
            self.memory.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def create_memfd(size: int, *, sealed: bool = True) -> int:
    """A memfd of `size` bytes; sealed: it can neither shrink nor grow, so that the server may map it."""
    fd = os.memfd_create("guest-memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        if sealed:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except OSError:
        os.close(fd)
        raise
    return fd


class VfioUserClient:
    """One connection. Use as a context manager, or call `close`.

    Raises DisconnectedError when the server is gone, TimeoutError when it does not answer within `timeout` seconds.
    """

    def __init__(self, sock: socket.socket, *, timeout: float = 10.0) -> None:
        self.socket = sock
        self.socket.settimeout(timeout)
        self.timeout = timeout
        self.interrupts: list[Interrupt] = []
        self.ranges: dict[int, MemoryRange] = {}
        self.answers_dma = True
        """False: `deferred` collects the server's DMA commands instead."""
        self.deferred: list[Message] = []
        self.received_fds: list[int] = []
        """Descriptors that came with messages, not taken yet."""
        self._next_id = 0

    @classmethod
    def connect(cls, path: str | Path, *, timeout: float = 10.0, negotiate: bool = True) -> Self:
        """Connects to the socket at `path`; with `negotiate` also does VERSION."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(timeout)
            sock.connect(str(path))
            client = cls(sock, timeout=timeout)
            if negotiate:
                client.version()
        except BaseException:
            sock.close()
            raise
        return client

    def close(self) -> None:
        """Closes the connection, all memory and the descriptors that nobody took. Idempotent."""
        self.socket.close()
        while self.received_fds:
            os.close(self.received_fds.pop())
        for memory in self.ranges.values():
            memory.close()
        self.ranges.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- raw ----

    def send_raw(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Sends bytes as they are; the descriptors go with the first of them."""
        sent = 0
        if fds:
            rights = array.array("i", fds)
            sent = self.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def receive_raw(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises DisconnectedError."""
        parts = bytearray()
        while len(parts) < size:
            try:
                part, rights, _, _ = self.socket.recvmsg(size - len(parts), _ROOM_FOR_FDS)
            except (ConnectionResetError, BrokenPipeError) as error:
                raise DisconnectedError(str(error)) from error
            self._take_fds(rights)
            if not part:
                raise DisconnectedError("the server closed the connection")
            parts += part
        return bytes(parts)

    def _take_fds(self, rights: Sequence[tuple[int, int, bytes]]) -> None:
        for level, kind, data in rights:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds = array.array("i")
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
                self.received_fds.extend(fds)

    def receive_message(self) -> Message:
        """The next message, whatever it is."""
        header = Header.unpack(self.receive_raw(proto.HEADER.size))
        if header.size < proto.HEADER.size:
            raise UnexpectedMessageError(f"size {header.size} is smaller than a header")
        return Message(header, self.receive_raw(header.size - proto.HEADER.size))

    def wait_closed(self) -> None:
        """Reads until the server has closed the connection. Raises TimeoutError if it does not."""
        with contextlib.suppress(DisconnectedError):
            while True:
                self.receive_raw(1)

    # ---- commands ----

    def post(self, command: int, payload: bytes = b"", *, flags: int = Flags.COMMAND, fds: Sequence[int] = ()) -> int:
        """Sends a command and returns its id."""
        self._next_id = (self._next_id + 1) & 0xFFFF
        try:
            self.send_raw(proto.message(command, payload, message_id=self._next_id, flags=flags), fds)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise DisconnectedError(str(error)) from error
        return self._next_id

    def receive_reply(self, command: int, message_id: int) -> bytes:
        """Payload of the reply to a command; serves the server's own commands that come before it."""
        while True:
            message = self.receive_message()
            if not message.header.is_reply:
                self._serve(message)
                continue
            if (message.header.id, message.header.command) != (message_id, command):
                raise UnexpectedMessageError(f"reply {message.header} to command {command}, id {message_id}")
            if message.header.is_error:
                raise VfioUserError(command, message.header.error)
            return message.payload

    def request(self, command: int, payload: bytes = b"", fds: Sequence[int] = ()) -> bytes:
        """Sends a command and returns its answer's payload. Raises VfioUserError if it was refused."""
        return self.receive_reply(command, self.post(command, payload, fds=fds))

    def version(self, capabilities: object = DEFAULT_CAPABILITIES, major: int = 0, minor: int = 0) -> dict[str, object]:
        """VERSION; returns the server's capabilities."""
        text = json.dumps(capabilities).encode() + b"\0"
        reply = self.request(Command.VERSION, proto.VERSION.pack(major, minor) + text)
        if len(reply) == proto.VERSION.size:
            return {}
        if not reply.endswith(b"\0"):
            raise UnexpectedMessageError("capabilities without a NUL at their end")
        answer: dict[str, object] = json.loads(reply[proto.VERSION.size : -1])
        return answer

    def device_info(self) -> DeviceInfo:
        reply = self.request(Command.DEVICE_GET_INFO, proto.DEVICE_INFO.pack(proto.DEVICE_INFO.size, 0, 0, 0))
        return DeviceInfo(*proto.DEVICE_INFO.unpack(reply)[1:])

    def region_info(self, index: int) -> RegionInfo:
        request = proto.REGION_INFO.pack(proto.REGION_INFO.size, 0, index, 0, 0, 0)
        return RegionInfo(*proto.REGION_INFO.unpack(self.request(Command.DEVICE_GET_REGION_INFO, request))[1:])

    def mappable(self, index: int) -> tuple[RegionInfo, list[tuple[int, int]], int]:
        """region_info() with what can be mapped: (offset, size) of each area, and the file, which is the caller's; -1: none."""
        request = proto.REGION_INFO.pack(MAPPABLE_ROOM, 0, index, 0, 0, 0)
        reply = self.request(Command.DEVICE_GET_REGION_INFO, request)
        info = RegionInfo(*proto.REGION_INFO.unpack_from(reply)[1:])
        areas = proto.unpack_areas(reply, info) if info.flags & proto.RegionFlags.CAPS else []
        return info, areas, self.received_fds.pop() if self.received_fds else -1

    def irq_info(self, index: int) -> IrqInfo:
        request = proto.IRQ_INFO.pack(proto.IRQ_INFO.size, 0, index, 0)
        return IrqInfo(*proto.IRQ_INFO.unpack(self.request(Command.DEVICE_GET_IRQ_INFO, request))[1:])

    def set_irqs(
        self, flags: int, start: int, count: int, fds: Sequence[int] = (), *, index: int = 2, data: bytes = b""
    ) -> None:
        """DEVICE_SET_IRQS; `flags` are IrqFlags."""
        payload = proto.IRQ_SET.pack(proto.IRQ_SET.size + len(data), flags, index, start, count) + data
        self.request(Command.DEVICE_SET_IRQS, payload, fds)

    def reset(self) -> None:
        self.request(Command.DEVICE_RESET)

    def region_read(self, region: int, offset: int, count: int) -> bytes:
        """`count` bytes of a region. Raises VfioUserError if the server refuses the access."""
        access = proto.REGION_ACCESS.pack(offset, region, count)
        reply = self.request(Command.REGION_READ, access)
        if reply[: len(access)] != access or len(reply) != len(access) + count:
            raise UnexpectedMessageError(f"{len(reply)} bytes in answer to a read of {count}")
        return reply[len(access) :]

    def region_write(self, region: int, offset: int, data: bytes, *, posted: bool = False) -> None:
        """Writes to a region; `posted` as QEMU writes to BARs: there is no answer."""
        payload = proto.REGION_ACCESS.pack(offset, region, len(data)) + data
        if posted:
            self.post(Command.REGION_WRITE, payload, flags=Flags.NO_REPLY)
        else:
            self.request(Command.REGION_WRITE, payload)

    # ---- memory ----

    def dma_map_fd(self, iova: int, size: int, fd: int = -1, *, offset: int = 0, flags: int = 3) -> None:
        """DMA_MAP as it is; fd -1: none is sent."""
        payload = proto.DMA_MAP.pack(proto.DMA_MAP.size, flags, offset, iova, size)
        self.request(Command.DMA_MAP, payload, [fd] if fd >= 0 else [])

    def dma_map(self, iova: int, size: int, *, by_fd: bool = True, sealed: bool = True, flags: int = 3) -> MemoryRange:
        """Makes `size` bytes of memory and maps them at `iova`: in a memfd, or without one (DMA by messages)."""
        fd = create_memfd(size, sealed=sealed) if by_fd else -1
        memory = MemoryRange(iova, size, mmap.mmap(fd, size) if by_fd else bytearray(size), fd)
        try:
            self.dma_map_fd(iova, size, fd, flags=flags)
        except BaseException:
            memory.close()
            raise
        self.ranges[iova] = memory
        return memory

    def dma_unmap(self, iova: int, size: int, *, flags: int = 0) -> int:
        """DMA_UNMAP; returns the number of bytes that the server unmapped."""
        payload = proto.DMA_UNMAP.pack(proto.DMA_UNMAP.size, flags, iova, size)
        reply = self.request(Command.DMA_UNMAP, payload)
        end = 1 << 64 if flags & proto.DMA_UNMAP_ALL else iova + size
        for gone in [m for m in self.ranges.values() if iova <= m.iova and m.iova + m.size <= end]:
            self.ranges.pop(gone.iova).close()
        return int(proto.DMA_UNMAP.unpack(reply)[3])

    def _find(self, address: int, count: int) -> tuple[MemoryRange, int] | None:
        for memory in self.ranges.values():
            if memory.iova <= address and address + count <= memory.iova + memory.size:
                return memory, address - memory.iova
        return None

    # ---- what the server wants ----

    def _serve(self, message: Message) -> None:
        """Answers one command of the server, or puts it aside (`answers_dma` false: to `deferred`)."""
        command, payload = message.header.command, message.payload
        if command not in (Command.DMA_READ, Command.DMA_WRITE):
            raise UnexpectedMessageError(f"command {command} of the server")
        address, count = proto.DMA_ACCESS.unpack_from(payload)
        data = payload[proto.DMA_ACCESS.size :]
        if command == Command.DMA_WRITE and proto.MSI_FIRST <= address <= proto.MSI_LAST:
            self.interrupts.append(Interrupt(address, int.from_bytes(data, "little")))
        elif not self.answers_dma:
            self.deferred.append(message)
        else:
            self.answer_dma(message.header, address, count, data)

    def answer_dma(self, header: Header, address: int, count: int, data: bytes) -> None:
        """Does a DMA_READ or DMA_WRITE on the memory here and answers it, as QEMU does."""
        found = self._find(address, count)
        reply, error = b"", 0
        if found is None:
            error = errno.ENODEV
        elif header.command == Command.DMA_WRITE:
            memory, at = found
            memory.memory[at : at + count] = data
        else:
            memory, at = found
            reply = proto.DMA_ACCESS.pack(address, count) + bytes(memory.memory[at : at + count])
        if header.flags & Flags.NO_REPLY and not error:
            return
        flags = Flags.REPLY | (Flags.ERROR if error else 0)
        self.send_raw(proto.message(header.command, reply, message_id=header.id, flags=flags, error=error))

    def serve_until(self, deadline: float) -> bool:
        """Serves one command of the server, if one comes before `deadline` (time.monotonic). False: none came."""
        ready, _, _ = select.select([self.socket], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        message = self.receive_message()
        if message.header.is_reply:
            raise UnexpectedMessageError(f"reply {message.header} that nobody asked for")
        self._serve(message)
        return True

    def wait_interrupts(self, count: int, timeout: float | None = None) -> list[Interrupt]:
        """Waits until `count` interrupts have come, and takes them. Raises TimeoutError."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while len(self.interrupts) < count:
            if not self.serve_until(deadline):
                raise TimeoutError(f"{len(self.interrupts)} of {count} interrupts came")
        taken, self.interrupts = self.interrupts[:count], self.interrupts[count:]
        return taken

    def wait_deferred(self, count: int = 1, timeout: float | None = None) -> list[Message]:
        """Waits until `count` DMA commands have been put aside (`answers_dma` false), and takes them."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while len(self.deferred) < count:
            if not self.serve_until(deadline):
                raise TimeoutError(f"{len(self.deferred)} of {count} DMA commands came")
        taken, self.deferred = self.deferred[:count], self.deferred[count:]
        return taken
