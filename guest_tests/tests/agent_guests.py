"""What the agent's tests share: guests that run it, and a device whose interrupts the test itself raises."""

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guest_tests.agent_build import AgentImage, build_agent
from guest_tests.agent_link import AgentLink
from guest_tests.agent_numbers import SlotState
from guest_tests.agent_results import SlotInfo
from host_ctl.guest import Guest
from host_ctl.guest_command import GuestSpec
from qemu_patches import QemuBinary

BUILD = Path(__file__).parents[2] / "build"
PAGE = 4096


@dataclass(frozen=True, slots=True)
class AgentGuest:
    """A guest and the link to the agent in it."""

    guest: Guest
    link: AgentLink

    async def plug(self, driver: str, device_id: str, port: int, **properties: object) -> SlotInfo:
        """Adds a device and waits until the agent has brought it up."""
        before = self.link.slot(port).generation
        await self.guest.add_device(driver, device_id, port, **properties)
        return await self.link.wait_slot(port, SlotState.PRESENT, after_generation=before)


@contextlib.asynccontextmanager
async def agent_guest(
    qemu: QemuBinary,
    folder: Path,
    agent_image: AgentImage,
    *,
    name: str = "agent",
    ports: int = 1,
    extra: tuple[str, ...] = (),
    reset_is_death: bool = True,
) -> AsyncIterator[AgentGuest]:
    """A started guest with a link; its agent need not be ready yet."""
    spec = GuestSpec(name, ports=ports, image=agent_image, extra=extra, reset_is_death=reset_is_death)
    async with await Guest.start(spec, qemu, folder) as guest:
        link = AgentLink(guest.ram.map, guest.serial, agent_image.elf, name=name)
        guest.died.add_done_callback(lambda death: link.connection_lost(str(death.result())))
        try:
            yield AgentGuest(guest, link)
        finally:
            link.close()


class Doorbells:
    """An ivshmem-doorbell in a port: `ring(n)` makes the device send the message of its MSI-X entry n.

    `memory` is the device's BAR 2, seen from the host.
    """

    def __init__(self, device_id: str, path: Path, vectors: int) -> None:
        self.device_id = device_id
        self.path = path
        self.vectors = vectors
        self._stack = contextlib.ExitStack()
        self._listener = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._events = [os.eventfd(0, os.EFD_CLOEXEC) for _ in range(vectors)]
        self._memory = os.memfd_create(device_id, os.MFD_CLOEXEC)
        for fd in (*self._events, self._memory):
            self._stack.callback(os.close, fd)
        os.ftruncate(self._memory, 4 * PAGE)

    async def plug(self, agent: AgentGuest, port: int) -> SlotInfo:
        """Connects QEMU to this server, tells it all it wants to know, and adds the device."""
        address = {"type": "unix", "data": {"path": str(self.path)}}
        backend = {"type": "socket", "data": {"addr": address, "server": False}}
        chardev = f"chardev-{self.device_id}"
        await agent.guest.execute("chardev-add", id=chardev, backend=backend)
        peer, _ = self._listener.accept()
        self._stack.callback(peer.close)
        self._introduce(peer)
        return await agent.plug("ivshmem-doorbell", self.device_id, port, chardev=chardev, vectors=self.vectors)

    def ring(self, vector: int) -> None:
        os.eventfd_write(self._events[vector], 1)

    @property
    def memory(self) -> bytes:
        return os.pread(self._memory, 4 * PAGE, 0)

    def close(self) -> None:
        self._stack.close()

    def _introduce(self, peer: socket.socket) -> None:
        own_id = (0).to_bytes(8, "little")
        peer.sendall(own_id)  # version of the protocol
        peer.sendall(own_id)
        socket.send_fds(peer, [(-1).to_bytes(8, "little", signed=True)], [self._memory])
        for event in self._events:
            socket.send_fds(peer, [own_id], [event])


@pytest.fixture(scope="session")
def agent_image() -> AgentImage:
    """The agent, built from the sources of this checkout."""
    return build_agent(BUILD)


@pytest.fixture
async def agent(qemu: QemuBinary, folder: Path, agent_image: AgentImage) -> AsyncIterator[AgentGuest]:
    """A guest with four ports whose agent is ready."""
    async with agent_guest(qemu, folder, agent_image, ports=4) as started:
        await started.link.ready()
        yield started


@pytest.fixture
def doorbells(folder: Path) -> Iterator[Doorbells]:
    """A device of eight vectors, not plugged yet."""
    device = Doorbells("bells", folder / "bells.sock", 8)
    yield device
    device.close()
