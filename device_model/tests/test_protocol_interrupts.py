"""Message interrupts on the socket: their form, their order, and a client that does not read them."""

from __future__ import annotations

import contextlib
import errno

import pytest

from device_model import vfio_user_protocol as proto
from device_model.tests.protocol_rig import Engine, ServerProcess, wait_stat
from device_model.vfio_user_client import VfioUserClient
from device_model.vfio_user_protocol import Command, Flags, Interrupt

ADDRESS = 0xFEE01000
VECTORS = 256  # distinct interrupts: far fewer than a connection can keep back


def test_interrupt_is_a_write_of_its_data_that_wants_no_reply(engine: Engine) -> None:
    engine.start(Engine.MESSAGE, ADDRESS, 0x4041)
    message = engine.client.receive_message()

    assert (message.header.command, message.header.flags, message.header.size) == (12, Flags.NO_REPLY, 36)
    assert message.payload == proto.DMA_ACCESS.pack(ADDRESS, 4) + b"\x41\x40\0\0"


def test_every_interrupt_arrives_in_order_at_a_client_that_reads(plain: ServerProcess, engine: Engine) -> None:
    engine.start(Engine.MESSAGE, ADDRESS, 7, count=1000, spread=50)
    interrupts = engine.client.wait_interrupts(1000)

    assert interrupts == [Interrupt(ADDRESS + 4 * (i % 50), 7) for i in range(1000)]
    assert plain.stats()["interrupts_sent"] == 1000


def test_interrupt_fired_before_a_reply_is_seen_before_it(engine: Engine) -> None:
    engine.set(Engine.ADDRESS, ADDRESS)
    engine.set(Engine.DATA, 5)
    engine.set(Engine.COUNT, 3)
    go = (Engine.MESSAGE | Engine.INLINE).to_bytes(8, "little")
    engine.client.region_write(0, Engine.GO, go)

    assert engine.client.interrupts == [Interrupt(ADDRESS, 5)] * 3


def test_engine_is_not_stopped_by_a_client_that_never_reads(plain: ServerProcess, engine: Engine) -> None:
    engine.start(Engine.MESSAGE, ADDRESS, 1, count=100_000, spread=VECTORS)
    stats = wait_stat(plain, "interrupts_late", 50_000)
    engine.start(Engine.MESSAGE, ADDRESS, 2)
    last = engine.wait_finished(2)

    seen = {(interrupt.address, interrupt.data) for interrupt in engine.client.interrupts}
    assert last == (0, 0)
    assert stats["interrupts_sent"] < 50_000
    assert seen == {(ADDRESS + 4 * i, 1) for i in range(VECTORS)} | {(ADDRESS, 2)}
    assert engine.get(Engine.FAILURES) == 0


def test_more_interrupts_than_can_be_kept_are_refused_not_lost_silently(engine: Engine) -> None:
    engine.start(Engine.MESSAGE, ADDRESS, 1, count=50_000, spread=50_000)
    engine.wait_finished(1)
    failures = engine.get(Engine.FAILURES)

    assert engine.get(Engine.RESULT) in (0, -errno.ENOBUFS)
    assert failures > 0
    assert len(engine.client.interrupts) == 50_000 - failures


def test_error_reply_to_an_interrupt_is_no_error(plain: ServerProcess, engine: Engine) -> None:
    engine.start(Engine.MESSAGE, ADDRESS, 1)
    header = engine.client.receive_message().header
    reply = proto.message(header.command, message_id=header.id, flags=Flags.REPLY | Flags.ERROR, error=errno.ENODEV)
    engine.client.send_raw(reply)

    assert engine.wait_finished(1) == (0, 0)
    assert plain.stats()["protocol_errors"] == 0


def test_error_reply_to_an_interrupt_is_not_taken_for_that_of_a_dma(engine: Engine) -> None:
    client = engine.client
    client.dma_map(0, 4096, by_fd=False).memory[:4] = b"data"
    client.answers_dma = False
    engine.start(Engine.DMA_READ, 0, 4)
    (request,) = client.wait_deferred()
    for interrupt_id in range(0x8000, 0x8100):
        client.send_raw(proto.message(12, message_id=interrupt_id, flags=Flags.REPLY | Flags.ERROR, error=errno.ENODEV))
    client.answer_dma(request.header, 0, 4, b"")

    assert engine.wait_finished(1) == (Engine.OK, 4)
    assert request.header.id < 0x8000


def ask_for_config(client: VfioUserClient) -> int:
    return client.post(Command.REGION_READ, proto.REGION_ACCESS.pack(0, 7, 4096))


def test_replies_keep_their_order_when_the_client_reads_late(plain: ServerProcess, engine: Engine) -> None:
    engine.start(Engine.MESSAGE, ADDRESS, 1, count=20_000, spread=VECTORS)
    wait_stat(plain, "interrupts_late", 10_000)
    ids = [ask_for_config(engine.client) for _ in range(30)]
    payloads = [engine.client.receive_reply(Command.REGION_READ, message_id) for message_id in ids]

    assert {len(payload) for payload in payloads} == {16 + 4096}


def test_server_reads_no_more_than_it_can_answer(plain: ServerProcess, plain_client: VfioUserClient) -> None:
    before = plain.stats()["messages"]
    plain_client.socket.settimeout(0.3)
    ids: list[int] = []
    with contextlib.suppress(TimeoutError):
        while len(ids) < 100_000:
            ids.append(ask_for_config(plain_client))
    handled = plain.stats()["messages"] - before
    cpu_before = plain.cpu_seconds()
    with pytest.raises(TimeoutError):
        ask_for_config(plain_client)
    cpu = plain.cpu_seconds() - cpu_before
    replies = [plain_client.receive_message().header for _ in ids]

    assert handled < len(ids) < 100_000
    assert cpu < 0.15  # of 0.3 seconds
    assert [reply.id for reply in replies] == ids
    assert {reply.size for reply in replies} == {16 + 16 + 4096}
