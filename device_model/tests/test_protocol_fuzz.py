"""Random and mutated messages to a server built with the address sanitizer: it lives, leaks nothing, serves on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_model import vfio_user_protocol as proto
from device_model.tests.protocol_rig import Launch, ServerProcess
from device_model.vfio_user_client import VfioUserClient, create_memfd

PAGE = 4096
EDGES = [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 24, 32, 64, PAGE - 1, PAGE, PAGE + 1, 0xFEE00000, (1 << 31) - 1, 1 << 31]
EDGES_32 = [*EDGES, (1 << 32) - 1]
EDGES_64 = [*EDGES_32, 1 << 32, 1 << 63, (1 << 64) - PAGE, (1 << 64) - 8, (1 << 64) - 1]

u32 = st.one_of(st.sampled_from(EDGES_32), st.integers(0, (1 << 32) - 1))
u64 = st.one_of(st.sampled_from(EDGES_64), st.integers(0, (1 << 64) - 1))
pages = st.integers(0, 40).map(lambda n: n * PAGE)
tail = st.binary(max_size=80)


def packed(structure: object, *fields: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    """A structure with each field drawn."""
    return st.tuples(*fields).map(lambda values: structure.pack(*values))  # type: ignore[attr-defined]


payloads = st.one_of(
    tail,
    packed(proto.DMA_MAP, st.just(32), st.integers(0, 3), pages, pages, pages),
    packed(proto.DMA_MAP, u32, u32, u64, u64, u64),
    packed(proto.DMA_UNMAP, st.just(24), st.sampled_from([0, 0, 2]), pages, pages),
    packed(proto.DMA_UNMAP, u32, u32, u64, u64),
    packed(proto.REGION_INFO, u32, u32, u32, u32, u64, u64),
    packed(proto.IRQ_INFO, u32, u32, u32, u32),
    packed(proto.IRQ_SET, st.just(20), st.sampled_from([0x21, 0x22, 0x24]), st.just(2), st.integers(0, 10), u32),
    packed(proto.IRQ_SET, u32, u32, u32, u32, u32),
    packed(proto.REGION_ACCESS, st.integers(0, PAGE), st.sampled_from([0, 2, 7]), st.sampled_from([1, 2, 4, 8])),
    packed(proto.REGION_ACCESS, u64, u32, u32),
    packed(proto.DMA_ACCESS, u64, u64),
    packed(proto.VERSION, st.integers(0, 1), st.just(0)),
)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True, slots=True)
class Sent:
    """One message: its bytes, and which descriptors go with it (0 memfd, 1 unsealed memfd, 2 eventfd, 3 pipe)."""

    data: bytes
    fds: tuple[int, ...]
    pieces: int


@st.composite
def messages(draw: st.DrawFn) -> Sent:
    payload = draw(payloads) + draw(st.one_of(st.just(b""), tail))
    command = draw(st.one_of(st.integers(0, 18), st.integers(0, 0xFFFF)))
    flags = draw(st.sampled_from([0, 0, 0, 0, 0x10, 0x10, 1, 0x21, 0x11, 2, 0xFF]))
    size = draw(st.one_of(st.none(), st.none(), st.none(), st.none(), u32))
    data = proto.message(command, payload, message_id=draw(st.integers(0, 3)), flags=flags, size=size)
    fds = draw(st.one_of(st.just([]), st.just([]), st.lists(st.integers(0, 3), max_size=18)))
    return Sent(data, tuple(fds), draw(st.integers(1, 4)))


@contextlib.contextmanager
def descriptors() -> Iterator[list[int]]:
    """One of each kind."""
    read_end, write_end = os.pipe()
    fds = [create_memfd(16 * PAGE), create_memfd(16 * PAGE, sealed=False), os.eventfd(0), read_end, write_end]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def send(client: VfioUserClient, sent: Sent, fds: list[int]) -> None:
    """Sends one message in pieces, the descriptors with the first. The server may have closed, or may not read on."""
    step = max(1, len(sent.data) // sent.pieces)
    with contextlib.suppress(ConnectionError, TimeoutError):
        for at in range(0, len(sent.data), step):
            client.send_raw(sent.data[at : at + step], [fds[kind] for kind in sent.fds] if at == 0 else [])


def attack(server: ServerProcess, conversation: list[Sent], *, negotiate: bool) -> None:
    with descriptors() as fds, server.connect(negotiate=negotiate) as client:
        client.socket.settimeout(0.5)
        for sent in conversation:
            send(client, sent, fds)
    with server.connect() as client:
        assert client.region_read(7, 0, 4) == bytes.fromhex("8680250b")


@pytest.mark.parametrize(("device", "mode"), [("real", "message"), ("plain", "message"), ("plain", "eventfd")])
def test_no_conversation_harms_the_server(launch: Launch, device: str, mode: str) -> None:
    server = launch(device, mode, dma_timeout_ms=50)
    idle = server.usage()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(conversation=st.lists(messages(), max_size=12), negotiate=st.sampled_from([True, True, True, False]))
    def run(conversation: list[Sent], negotiate: bool) -> None:
        attack(server, conversation, negotiate=negotiate)

    run()

    assert server.wait_disconnected(server.stats()["connections"]) == 0
    assert server.usage() == idle


def test_no_version_harms_the_server(launch: Launch) -> None:
    server = launch("plain")
    idle = server.usage()

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(text=st.one_of(jsons.map(lambda j: json.dumps(j).encode() + b"\0"), st.binary(max_size=300)))
    def run(text: bytes) -> None:
        attack(server, [Sent(proto.message(1, proto.VERSION.pack(0, 0) + text), (), 1)], negotiate=False)

    run()

    assert server.wait_disconnected(server.stats()["connections"]) == 0
    assert server.usage() == idle
