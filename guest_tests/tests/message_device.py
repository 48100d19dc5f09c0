"""A PCI device without registers, served to QEMU over vfio-user, that only reads and writes the VM's memory by messages."""

from __future__ import annotations

import contextlib
import errno
import queue
import socket
import struct
import threading
from pathlib import Path
from typing import Self

from device_model import vfio_user_protocol as proto
from device_model.vfio_user_protocol import Command, Flags, Header

SECONDS = 60
_CONFIG_SIZE = 256
_PCI_DEVICE = 2
_READ_WRITE = 3
_SAME_FOR_ALL: dict[int, bytes] = {
    Command.VERSION: proto.VERSION.pack(0, 0) + b"{}\0",
    Command.DEVICE_GET_INFO: proto.DEVICE_INFO.pack(proto.DEVICE_INFO.size, _PCI_DEVICE, 9, 5),
}


class MessageDevice:
    """Listens at `path`; serves one QEMU in a thread of its own until it is closed. fds: descriptors that came with maps.

    refuses: a command that is answered with an error. bad_msix: it shows an MSI-X capability whose table and PBA lie in a
    BAR that it does not have.
    """

    def __init__(self, path: Path, refuses: int | None = None, *, bad_msix: bool = False) -> None:
        self._refuses = refuses
        self.maps: list[tuple[int, int]] = []
        self.fds = 0
        self._config = bytearray(_CONFIG_SIZE)
        struct.pack_into("<HH", self._config, 0, 0x8086, 0x0B25)
        self._config[0x0B] = 0x08
        if bad_msix:
            self._config[0x06] = 0x10  # there are capabilities, the first at 0x40
            self._config[0x34] = 0x40
            struct.pack_into("<BBHII", self._config, 0x40, 0x11, 0, 0, 0, 0x1000)
        self._answers: queue.Queue[tuple[Header, bytes]] = queue.Queue()
        self._sending = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._peer: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._listener, self._peer):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()
        self._thread.join(SECONDS)

    def write(self, address: int, data: bytes) -> Header:
        """DMA_WRITE; the header of the answer."""
        return self._ask(Command.DMA_WRITE, proto.DMA_ACCESS.pack(address, len(data)) + data)[0]

    def read(self, address: int, count: int) -> tuple[Header, int, int, bytes]:
        """DMA_READ; header, address, count and data of the answer."""
        header, payload = self._ask(Command.DMA_READ, proto.DMA_ACCESS.pack(address, count))
        at, told = proto.DMA_ACCESS.unpack_from(payload) if payload else (0, 0)
        return header, at, told, payload[proto.DMA_ACCESS.size :]

    def _ask(self, command: int, payload: bytes) -> tuple[Header, bytes]:
        self._send(proto.message(command, payload, message_id=0x77))
        return self._answers.get(timeout=SECONDS)

    def _send(self, data: bytes) -> None:
        assert self._peer is not None
        with self._sending:
            self._peer.sendall(data)

    def _serve(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._peer, _ = self._listener.accept()
            while True:
                first, fds, _, _ = socket.recv_fds(self._peer, proto.HEADER.size, proto.MAX_MSG_FDS)
                self.fds += len(fds)
                header = Header.unpack(first + self._receive(proto.HEADER.size - len(first)))
                payload = self._receive(header.size - proto.HEADER.size)
                if header.is_reply:
                    self._answers.put((header, payload))
                else:
                    self._answer(header, payload)

    def _receive(self, size: int) -> bytes:
        assert self._peer is not None
        data = b""
        while len(data) < size:
            more = self._peer.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _answer(self, header: Header, payload: bytes) -> None:
        if header.command == self._refuses:
            refusal = Flags.REPLY | Flags.ERROR
            self._send(proto.message(header.command, message_id=header.id, flags=refusal, error=errno.EIO))
            return
        reply = self._reply(header.command, payload)
        if not header.flags & Flags.NO_REPLY:
            self._send(proto.message(header.command, reply, message_id=header.id, flags=Flags.REPLY))

    def _reply(self, command: int, payload: bytes) -> bytes:
        """Payload of the answer to one command of QEMU; nothing is said to what needs no more than a header."""
        if command == Command.DMA_MAP:
            _, _, _, address, size = proto.DMA_MAP.unpack(payload)
            self.maps.append((address, size))
        elif command in (Command.REGION_READ, Command.REGION_WRITE):
            return self._access(command, payload)
        elif command == Command.DEVICE_GET_REGION_INFO:
            index = proto.REGION_INFO.unpack(payload)[2]
            size, rights = (_CONFIG_SIZE, _READ_WRITE) if index == proto.Region.CONFIG else (0, 0)
            return proto.REGION_INFO.pack(proto.REGION_INFO.size, rights, index, 0, size, 0)
        elif command == Command.DEVICE_GET_IRQ_INFO:
            return proto.IRQ_INFO.pack(proto.IRQ_INFO.size, 0, proto.IRQ_INFO.unpack(payload)[2], 0)
        return _SAME_FOR_ALL.get(command, b"")

    def _access(self, command: int, payload: bytes) -> bytes:
        offset, region, count = proto.REGION_ACCESS.unpack_from(payload)
        answer = proto.REGION_ACCESS.pack(offset, region, count)
        if command == Command.REGION_READ:
            return answer + self._config[offset : offset + count]
        self._config[offset : offset + count] = payload[proto.REGION_ACCESS.size :]
        return answer
