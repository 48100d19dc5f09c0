"""Servers for the protocol tests: the C transport in a process of its own, built with the address sanitizer.

Two devices can be behind it: `plain` (`c/plain_vdev.c`: plain memory, and an engine that a client commands through
registers of BAR0) and `real`. The fixtures are made known by `conftest.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from device_model.build_core import LIBRARIES
from device_model.vfio_user_client import VfioUserClient, VfioUserError
from device_model.vfio_user_protocol import Region

MODEL = Path(__file__).resolve().parents[1]
C_TESTS = MODEL / "tests" / "c"
BUILD = MODEL.parent / "build" / "test-c"
ASAN = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TSAN = ("-fsanitize=thread",)
FLAGS = ("-std=c17", "-D_GNU_SOURCE=", "-Wall", "-Wextra", "-Werror", "-g", "-O1", "-pthread")
TIMEOUT_S = 30.0


def sources(*parts: str) -> list[Path]:
    """All C files of parts of the device model, in a fixed order."""
    return [path for part in parts for path in sorted((MODEL / part).glob("*.c"))]


def build_c(name: str, files: list[Path], flags: tuple[str, ...] = ASAN) -> Path:
    """Compiles a program, unless one was already made of the same text. Raises RuntimeError if gcc fails."""
    text = hashlib.sha256(repr((FLAGS, flags)).encode())
    for path in [*files, *sorted(MODEL.glob("*/*.h")), *sorted(C_TESTS.glob("*.h"))]:
        text.update(str(path).encode() + b"\0" + path.read_bytes())
    program = BUILD / f"{name}-{text.hexdigest()[:16]}"
    if program.exists():
        return program
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        made = Path(folder) / name
        command = ["gcc", *FLAGS, *flags, *map(str, files), "-o", str(made), *(f"-l{name}" for name in LIBRARIES)]
        plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # no sanitizers in gcc itself
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=plain)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
        made.replace(program)
    return program


@dataclass(frozen=True, slots=True)
class Usage:
    """What the server's process holds: open descriptors, and mappings of guest memory."""

    fds: int
    mappings: int


class ServerProcess:
    """A running server. Stopping it checks its exit status: a sanitizer's complaint is a failure."""

    def __init__(self, program: Path, path: Path, mode: str, vectors: int, dma_timeout_ms: int) -> None:
        self.path = path
        self.outcome: tuple[int, str] | None = None
        self.process = subprocess.Popen(
            [str(program), str(path), mode, str(vectors), str(dma_timeout_ms)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        if self._line() != "ready":
            raise RuntimeError(f"the server does not start: {self.stop()}")

    def _line(self) -> str:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT_S)
        if not ready:
            raise TimeoutError("the server's process does not answer")
        return self.process.stdout.readline().strip()

    def ask(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        return self._line()

    def stats(self) -> dict[str, int]:
        """struct vfu_server_stats."""
        return {name: int(value) for name, value in (field.split("=") for field in self.ask("stats").split())}

    def usage(self) -> Usage:
        return Usage(*map(int, self.ask("fds").split()))

    def cpu_seconds(self) -> float:
        """Processor time of the server's process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_disconnected(self, count: int, timeout_s: float = TIMEOUT_S) -> int:
        """0, or a negative errno."""
        return int(self.ask(f"gone {count} {int(timeout_s * 1000)}"))

    def connect(self, *, negotiate: bool = True) -> VfioUserClient:
        return VfioUserClient.connect(self.path, negotiate=negotiate)

    def stop(self) -> tuple[int, str]:
        """Exit status and stderr. Idempotent."""
        if self.outcome is None:
            try:
                _, errors = self.process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                _, errors = self.process.communicate()
            self.outcome = self.process.returncode, errors
        return self.outcome


class Engine:
    """The engine of the plain device, commanded through a client's BAR0."""

    ADDRESS, DATA, COUNT, SPREAD = 0xF000, 0xF008, 0xF010, 0xF018
    GO, FINISHED, RESULT, MOVED, FAILURES, RESETS, STALL = 0xF020, 0xF028, 0xF030, 0xF038, 0xF040, 0xF048, 0xF050
    MESSAGE, SIGNAL, DMA_READ, DMA_WRITE, INLINE = 1, 2, 3, 4, 0x100
    OK, FAULT, FAILED = 0, 1, 2

    def __init__(self, client: VfioUserClient) -> None:
        self.client = client

    def get(self, register: int) -> int:
        return int.from_bytes(self.client.region_read(Region.BAR0, register, 8), "little", signed=True)

    def set(self, register: int, value: int) -> None:
        self.client.region_write(Region.BAR0, register, struct.pack("<Q", value), posted=True)

    def start(self, operation: int, address: int, data: int, *, count: int = 1, spread: int = 0) -> None:
        """Queues an operation; does not wait for it."""
        self.set(self.ADDRESS, address)
        self.set(self.DATA, data)
        self.set(self.COUNT, count)
        self.set(self.SPREAD, spread)
        self.set(self.GO, operation)

    def wait_finished(self, number: int) -> tuple[int, int]:
        """Waits until `number` operations have finished: result and bytes moved of the last."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.get(self.FINISHED) < number:
            if time.monotonic() > deadline:
                raise TimeoutError(f"operation {number} does not finish")
        return self.get(self.RESULT), self.get(self.MOVED)

    def run(self, operation: int, address: int, data: int, *, count: int = 1, spread: int = 0) -> tuple[int, int]:
        before = self.get(self.FINISHED)
        self.start(operation, address, data, count=count, spread=spread)
        return self.wait_finished(before + 1)

    def read_scratch(self, count: int) -> bytes:
        """The engine's buffer, which a DMA_READ fills."""
        return b"".join(self.client.region_read(Region.BAR2, at, 8) for at in range(0, count, 8))[:count]

    def write_scratch(self, data: bytes) -> None:
        for at in range(0, len(data), 8):
            self.client.region_write(Region.BAR2, at, data[at : at + 8].ljust(8, b"\0"), posted=True)


Launch = Callable[..., ServerProcess]


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """Server programs by the device they serve."""
    main = [C_TESTS / "server_main.c", *sources("transport")]
    return {
        "plain": build_c("plain_server", [*main, C_TESTS / "plain_vdev.c"]),
        "real": build_c("real_server", [*main, C_TESTS / "real_vdev.c", *sources("core", "platform", "vdev")]),
    }


@pytest.fixture
def launch(programs: dict[str, Path]) -> Iterator[Launch]:
    """Starts servers. At the end each must stop with status 0: no leak, no undefined behaviour, no bad access."""
    servers: list[ServerProcess] = []
    with tempfile.TemporaryDirectory(prefix="vdsa-") as folder:

        def start(
            device: str = "plain", mode: str = "message", *, vectors: int = 9, dma_timeout_ms: int = 1000
        ) -> ServerProcess:
            path = Path(folder) / f"{len(servers)}.sock"
            servers.append(ServerProcess(programs[device], path, mode, vectors, dma_timeout_ms))
            return servers[-1]

        yield start
        outcomes = [server.stop() for server in servers]
    assert outcomes == [(0, "")] * len(outcomes)


@pytest.fixture(params=["plain", "real"])
def server(launch: Launch, request: pytest.FixtureRequest) -> ServerProcess:
    """A server in delivery mode `message`, once with each device."""
    return launch(request.param)


@pytest.fixture
def client(server: ServerProcess) -> Iterator[VfioUserClient]:
    """A client of `server` that has done VERSION."""
    with server.connect() as connected:
        yield connected


@pytest.fixture
def plain(launch: Launch) -> ServerProcess:
    """A server of the plain device in delivery mode `message`."""
    return launch("plain")


@pytest.fixture
def plain_client(plain: ServerProcess) -> Iterator[VfioUserClient]:
    with plain.connect() as connected:
        yield connected


@pytest.fixture
def engine(plain_client: VfioUserClient) -> Engine:
    return Engine(plain_client)


def wait_stat(server: ServerProcess, name: str, least: int) -> dict[str, int]:
    """Polls a counter of the server until it has reached `least`."""
    deadline = time.monotonic() + TIMEOUT_S
    while (stats := server.stats())[name] < least:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} stays at {stats[name]}")
    return stats


def refusal(client: VfioUserClient, command: int, payload: bytes = b"", fds: list[int] | None = None) -> int:
    """The errno with which a command is refused."""
    with pytest.raises(VfioUserError) as caught:
        client.request(command, payload, fds or [])
    return caught.value.errno


@contextlib.contextmanager
def pipe_end() -> Iterator[int]:
    """A descriptor that is neither memory nor an eventfd."""
    ends = os.pipe()
    try:
        yield ends[0]
    finally:
        for end in ends:
            os.close(end)
