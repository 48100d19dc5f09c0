"""DMA of the device into a client's memory: by file, by messages, over several ranges; clients that misbehave in it."""

from __future__ import annotations

import errno
import mmap
import os
import threading
import time

import pytest

from device_model import vfio_user_protocol as proto
from device_model.tests.protocol_rig import Engine, Launch, ServerProcess, wait_stat
from device_model.vfio_user_client import DEFAULT_CAPABILITIES, VfioUserClient
from device_model.vfio_user_protocol import Command, Flags, Message

PAGE = 4096
KINDS = [
    pytest.param({"by_fd": True, "sealed": True}, id="mapped"),
    pytest.param({"by_fd": True, "sealed": False}, id="pread"),
    pytest.param({"by_fd": False}, id="messages"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_data_moves_both_ways(engine: Engine, kind: dict[str, bool]) -> None:
    memory = engine.client.dma_map(0x10000, 4 * PAGE, **kind)
    data = os.urandom(200)
    memory.memory[100:300] = data
    read = engine.run(Engine.DMA_READ, 0x10000 + 100, 200)
    scratch = engine.read_scratch(200)
    written = engine.run(Engine.DMA_WRITE, 0x10000 + 1000, 200)

    assert (read, written) == ((Engine.OK, 200), (Engine.OK, 200))
    assert scratch == data
    assert memory.memory[1000:1200] == data


@pytest.mark.parametrize("kind", KINDS)
def test_data_crosses_adjacent_ranges(engine: Engine, kind: dict[str, bool]) -> None:
    ranges = [engine.client.dma_map(at * PAGE, PAGE, **kind) for at in range(4)]
    for number, memory in enumerate(ranges):
        memory.memory[:] = bytes([number]) * PAGE
    result = engine.run(Engine.DMA_READ, PAGE - 8, 2 * PAGE + 16)

    assert result == (Engine.OK, 2 * PAGE + 16)
    assert engine.read_scratch(16) == b"\0" * 8 + b"\1" * 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operation", [Engine.DMA_READ, Engine.DMA_WRITE])
def test_hole_is_a_fault_after_the_bytes_before_it(engine: Engine, kind: dict[str, bool], operation: int) -> None:
    engine.client.dma_map(0, PAGE, **kind)
    engine.client.dma_map(2 * PAGE, PAGE, **kind)

    assert engine.run(operation, PAGE - 24, 64) == (Engine.FAULT, 24)
    assert engine.run(operation, PAGE, 8) == (Engine.FAULT, 0)
    assert engine.run(operation, 2 * PAGE - 1, 8) == (Engine.FAULT, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_range_that_may_only_be_read_is_not_written(engine: Engine, kind: dict[str, bool]) -> None:
    memory = engine.client.dma_map(0, PAGE, flags=proto.DMA_MAP_READ, **kind)
    engine.client.dma_map(PAGE, PAGE, flags=proto.DMA_MAP_WRITE, **kind)
    engine.write_scratch(b"\xff" * 64)

    assert engine.run(Engine.DMA_WRITE, 0, 64) == (Engine.FAULT, 0)
    assert engine.run(Engine.DMA_READ, PAGE, 64) == (Engine.FAULT, 0)
    assert engine.run(Engine.DMA_READ, 0, 64) == (Engine.OK, 64)
    assert memory.memory[:64] == b"\0" * 64


@pytest.mark.parametrize("kind", KINDS)
def test_access_at_the_end_of_the_address_space_does_not_wrap(engine: Engine, kind: dict[str, bool]) -> None:
    first = engine.client.dma_map(0, PAGE, **kind)
    engine.client.dma_map((1 << 64) - PAGE, PAGE, **kind)
    engine.write_scratch(b"\xff" * 64)

    assert engine.run(Engine.DMA_WRITE, (1 << 64) - 16, 64) == (Engine.FAULT, 16)
    assert first.memory[:64] == b"\0" * 64


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("address", "moved"), [(0xFEE00000, 0), (0xFEEFFFFF, 0), (0xFEE01000, 0), (0xFEDFFFE0, 32)]
)
def test_data_never_becomes_an_interrupt(engine: Engine, kind: dict[str, bool], address: int, moved: int) -> None:
    engine.client.dma_map(0xFEDFF000, 0x102000, **kind)

    assert engine.run(Engine.DMA_WRITE, address, 64) == (Engine.FAULT, moved)
    assert engine.client.interrupts == []


def test_range_without_a_file_is_a_device_in_a_vm_with_files(engine: Engine) -> None:
    engine.client.dma_map(0, PAGE, by_fd=False)
    before = engine.run(Engine.DMA_WRITE, 0, 8)
    engine.client.dma_map(PAGE, PAGE)
    after = engine.run(Engine.DMA_WRITE, 0, 8)

    assert (before, after) == ((Engine.OK, 8), (Engine.FAULT, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_out_of_reach_once_unmap_was_answered(engine: Engine, kind: dict[str, bool]) -> None:
    engine.client.dma_map(0, PAGE, **kind)
    engine.client.dma_unmap(0, PAGE)

    assert engine.run(Engine.DMA_READ, 0, 8) == (Engine.FAULT, 0)


def test_file_cut_short_is_a_fault_and_the_server_lives(plain: ServerProcess, engine: Engine) -> None:
    memory = engine.client.dma_map(0, 4 * PAGE, sealed=False)
    os.ftruncate(memory.fd, PAGE)
    across = engine.run(Engine.DMA_READ, PAGE - 32, 64)
    beyond = engine.run(Engine.DMA_WRITE, 2 * PAGE, 64)
    size = os.fstat(memory.fd).st_size

    assert (across, beyond) == ((Engine.FAULT, 32), (Engine.FAULT, 0))
    assert size == PAGE
    assert plain.stats()["attached"] == 1


def test_file_that_the_server_maps_cannot_be_cut_short(engine: Engine) -> None:
    memory = engine.client.dma_map(0, 4 * PAGE, sealed=True)
    with pytest.raises(PermissionError):
        os.ftruncate(memory.fd, PAGE)

    assert engine.run(Engine.DMA_READ, 0, 4 * PAGE) == (Engine.OK, 4 * PAGE)


def test_hole_punched_into_mapped_memory_does_no_harm(engine: Engine) -> None:
    memory = engine.client.dma_map(0, 64 * PAGE, sealed=True)
    memory.memory[:] = b"\xff" * (64 * PAGE)
    assert isinstance(memory.memory, mmap.mmap)
    memory.memory.madvise(mmap.MADV_REMOVE)
    engine.run(Engine.DMA_READ, 0, 64)

    assert engine.read_scratch(64) == b"\0" * 64


# ---- by messages ----


@pytest.mark.parametrize(("limit", "largest"), [(1 << 20, 32768), (4096, 4096), (1000, 1000)])
def test_requests_are_no_larger_than_the_client_takes(plain: ServerProcess, limit: int, largest: int) -> None:
    capabilities = {"capabilities": {**DEFAULT_CAPABILITIES["capabilities"], "max_data_xfer_size": limit}}
    with plain.connect(negotiate=False) as client:
        client.version(capabilities)
        client.dma_map(0, 16 * PAGE, by_fd=False)
        client.answers_dma = False
        Engine(client).start(Engine.DMA_READ, 0, 0xFFF0)
        (request,) = client.wait_deferred()

    assert proto.DMA_ACCESS.unpack(request.payload) == (0, largest)


def start_request(engine: Engine, operation: int = Engine.DMA_READ, length: int = 64) -> Message:
    """Lets the engine ask for DMA by messages at address 0, and returns its request unanswered."""
    engine.client.dma_map(0, 16 * PAGE, by_fd=False)
    engine.client.answers_dma = False
    engine.start(operation, 0, length)
    (request,) = engine.client.wait_deferred()
    engine.client.answers_dma = True
    return request


def answer(engine: Engine, request: Message, payload: bytes, *, flags: int = Flags.REPLY, error: int = 0) -> None:
    reply = proto.message(
        request.header.command, payload, message_id=request.header.id, flags=flags, error=error
    )
    engine.client.send_raw(reply)


@pytest.mark.parametrize("error", [errno.ENODEV, errno.EINVAL, 0, 0xFFFFFFFF])
def test_refused_request_is_a_fault_and_the_next_one_works(engine: Engine, error: int) -> None:
    request = start_request(engine)
    answer(engine, request, b"", flags=Flags.REPLY | Flags.ERROR, error=error)

    assert engine.wait_finished(1) == (Engine.FAULT, 0)
    assert engine.run(Engine.DMA_READ, 0, 64) == (Engine.OK, 64)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        proto.DMA_ACCESS.pack(0, 64),
        proto.DMA_ACCESS.pack(0, 64) + b"\0" * 63,
        proto.DMA_ACCESS.pack(0, 64) + b"\0" * 65,
        proto.DMA_ACCESS.pack(0, 63) + b"\0" * 64,
        proto.DMA_ACCESS.pack(8, 64) + b"\0" * 64,
        proto.DMA_ACCESS.pack(0, 1 << 63) + b"\0" * 64,
        b"\xff" * 65000,
    ],
)
def test_reply_that_does_not_fit_its_request_fails_it(engine: Engine, payload: bytes) -> None:
    request = start_request(engine)
    answer(engine, request, payload)

    assert engine.wait_finished(1) == (Engine.FAILED, 0)
    assert engine.run(Engine.DMA_READ, 0, 64) == (Engine.OK, 64)


@pytest.mark.parametrize("payload", [b"", proto.DMA_ACCESS.pack(0, 64)])
def test_write_may_be_answered_with_and_without_its_place(engine: Engine, payload: bytes) -> None:
    request = start_request(engine, Engine.DMA_WRITE)
    answer(engine, request, payload)

    assert engine.wait_finished(1) == (Engine.OK, 64)


def test_replies_that_nobody_asked_for_are_ignored_and_counted(plain: ServerProcess, engine: Engine) -> None:
    request = start_request(engine)
    other = (request.header.id + 1) % 0x8000
    engine.client.send_raw(proto.message(Command.DMA_READ, b"\0" * 80, message_id=other, flags=Flags.REPLY))
    engine.client.send_raw(proto.message(Command.DMA_WRITE, b"", message_id=request.header.id, flags=Flags.REPLY))
    engine.client.send_raw(proto.message(99, b"\0" * 500, message_id=request.header.id, flags=Flags.REPLY))
    answer(engine, request, proto.DMA_ACCESS.pack(0, 64) + b"x" * 64)

    assert engine.wait_finished(1) == (Engine.OK, 64)
    assert engine.read_scratch(64) == b"x" * 64
    assert plain.stats()["protocol_errors"] == 3


def test_reply_twice_is_taken_once(plain: ServerProcess, engine: Engine) -> None:
    request = start_request(engine)
    answer(engine, request, proto.DMA_ACCESS.pack(0, 64) + b"x" * 64)
    answer(engine, request, proto.DMA_ACCESS.pack(0, 64) + b"y" * 64)

    assert engine.wait_finished(1) == (Engine.OK, 64)
    assert engine.read_scratch(64) == b"x" * 64
    assert plain.stats()["protocol_errors"] == 1


def test_client_that_does_not_answer_costs_one_timeout_and_then_nothing(launch: Launch) -> None:
    with launch("plain", dma_timeout_ms=200).connect() as client:
        engine = Engine(client)
        begin = time.monotonic()
        request = start_request(engine)
        first = engine.wait_finished(1)
        took = time.monotonic() - begin
        answer(engine, request, proto.DMA_ACCESS.pack(0, 64) + b"x" * 64)
        for _ in range(100):
            engine.start(Engine.DMA_READ, 0, 64)
        rest = engine.wait_finished(101)

    assert (first, rest) == ((Engine.FAILED, 0), (Engine.FAILED, 0))
    assert 0.2 <= took < 5


def test_client_that_always_answers_just_in_time_is_given_up_too(launch: Launch) -> None:
    """The engine is shared: slow answers, each within the time-out, must not add up to a long stand-still of all others."""
    requests = 20
    slowly = threading.Event()
    with launch("plain", dma_timeout_ms=600).connect() as client:
        engine = Engine(client)
        request = start_request(engine)
        client.answers_dma = False
        for _ in range(requests - 1):
            engine.start(Engine.DMA_READ, 0, 64)
        answered = 0
        while engine.get(Engine.FINISHED) < requests:
            slowly.wait(0.25)  # what is tested: a client that takes its time
            answer(engine, request, proto.DMA_ACCESS.pack(0, 64) + b"x" * 64)
            answered += 1
            request = client.deferred.pop() if client.deferred else request

    assert answered <= 4


def test_request_of_the_thread_that_would_receive_its_reply_fails_at_once(launch: Launch) -> None:
    with launch("plain", dma_timeout_ms=60_000).connect() as client:
        engine = Engine(client)
        client.dma_map(0, PAGE, by_fd=False)
        engine.start(Engine.DMA_READ | Engine.INLINE, 0, 64)
        inline = engine.wait_finished(1)
        after = engine.run(Engine.DMA_READ, 0, 64)

    assert (inline, after) == ((Engine.FAILED, 0), (Engine.OK, 64))


def test_device_that_waits_in_an_access_does_not_spoil_the_connection(launch: Launch) -> None:
    with launch("plain", dma_timeout_ms=400).connect() as client:
        engine = Engine(client)
        request = start_request(engine)
        engine.set(Engine.STALL, 1000)
        stalled = engine.wait_finished(1)
        answer(engine, request, proto.DMA_ACCESS.pack(0, 64) + b"x" * 64)
        after = engine.run(Engine.DMA_READ, 0, 64)

    assert (stalled, after) == ((Engine.FAILED, 0), (Engine.OK, 64))


def test_disconnection_ends_a_request_at_once(launch: Launch) -> None:
    server = launch("plain", dma_timeout_ms=60_000)
    with server.connect() as client:
        start_request(Engine(client))

    assert server.wait_disconnected(1) == 0


def test_unmap_is_answered_while_a_request_is_unanswered(launch: Launch) -> None:
    with launch("plain", dma_timeout_ms=60_000).connect() as client:
        engine = Engine(client)
        request = start_request(engine)
        unmapped = client.dma_unmap(0, 16 * PAGE)
        client.answer_dma(request.header, 0, 64, b"")
        result = engine.wait_finished(1)

    assert (unmapped, result) == (16 * PAGE, (Engine.FAULT, 0))


def test_request_waits_for_room_behind_interrupts(plain: ServerProcess, engine: Engine) -> None:
    engine.client.dma_map(0, PAGE, by_fd=False).memory[:4] = b"data"
    engine.start(Engine.MESSAGE, 0xFEE01000, 1, count=20_000, spread=256)
    wait_stat(plain, "interrupts_late", 10_000)
    engine.start(Engine.DMA_READ, 0, 4)

    assert engine.wait_finished(2) == (Engine.OK, 4)
    assert engine.read_scratch(4) == b"data"


def test_descriptors_in_a_reply_are_closed(plain: ServerProcess, plain_client: VfioUserClient) -> None:
    before = plain.usage()
    plain_client.send_raw(proto.message(Command.DMA_READ, b"\0" * 16, flags=Flags.REPLY), [0] * 16)
    plain_client.device_info()

    assert plain.usage() == before
