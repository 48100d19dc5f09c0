"""Peers that send what no honest client would: nothing leaks, nothing stops, and the next client is served."""

from __future__ import annotations

import errno
import itertools
import os
import socket

import pytest

from device_model import vfio_user_protocol as proto
from device_model.tests.protocol_rig import Engine, Launch, ServerProcess, refusal
from device_model.vfio_user_client import VfioUserClient, create_memfd
from device_model.vfio_user_protocol import Command, Flags, IrqFlags

PAGE = 4096
READ_ID = proto.REGION_ACCESS.pack(0, 7, 4)


def assert_good_as_new(server: ServerProcess, gone: int, idle: object) -> None:
    """`gone` clients have left nothing, and another one is served."""
    assert server.wait_disconnected(gone) == 0
    assert server.usage() == idle
    with server.connect() as client:
        assert client.region_read(7, 0, 4) == bytes.fromhex("8680250b")


# ---- pieces ----


def test_messages_may_come_byte_by_byte(client: VfioUserClient) -> None:
    for byte in proto.message(Command.REGION_READ, READ_ID, message_id=7):
        client.send_raw(bytes([byte]))

    assert client.receive_reply(Command.REGION_READ, 7)[16:] == bytes.fromhex("8680250b")


def test_many_messages_may_come_in_one_piece(client: VfioUserClient) -> None:
    client.send_raw(b"".join(proto.message(Command.REGION_READ, READ_ID, message_id=i) for i in range(200)))
    replies = [client.receive_reply(Command.REGION_READ, i)[16:] for i in range(200)]

    assert set(replies) == {bytes.fromhex("8680250b")}


def test_descriptor_in_the_middle_of_a_piece_goes_to_its_own_message(server: ServerProcess) -> None:
    fd = create_memfd(PAGE)
    read = proto.message(Command.REGION_READ, READ_ID, message_id=1)
    map_it = proto.message(Command.DMA_MAP, proto.DMA_MAP.pack(32, 3, 0, 0, PAGE), message_id=2)
    with server.connect() as client:
        client.send_raw(read)
        client.send_raw(map_it, [fd])
        client.send_raw(read)
        os.close(fd)
        sizes = [client.receive_message().header.size for _ in range(3)]

        assert sizes == [36, 16, 36]
        assert server.usage().mappings == 1


@pytest.mark.parametrize("cut", [1, 15, 16, 17, 31])
def test_end_in_the_middle_of_a_message_frees_its_descriptors(server: ServerProcess, cut: int) -> None:
    idle = server.usage()
    with server.connect() as client:
        client.send_raw(proto.message(Command.REGION_READ, READ_ID)[:cut], [0, 1, 2])

    assert_good_as_new(server, 1, idle)


# ---- framing ----


@pytest.mark.parametrize(
    ("size", "flags"),
    [
        (0, 0),
        (15, 0),
        (65536 + 16 + 33, 0),
        (0x7FFFFFFF, 0),
        (0xFFFFFFFF, 0),
        (16, 2),
        (16, 0xF),
        (16, 0x20),
        (16, 0x40),
        (16, 0x80000001),
    ],
)
@pytest.mark.parametrize("negotiated", [False, True], ids=["first", "later"])
def test_what_is_no_message_ends_the_connection(
    server: ServerProcess, size: int, flags: int, negotiated: bool
) -> None:
    idle = server.usage()
    with server.connect(negotiate=negotiated) as client:
        client.send_raw(proto.HEADER.pack(1, Command.DEVICE_RESET, size, flags, 0), [0])
        client.wait_closed()

    assert_good_as_new(server, 1, idle)
    assert server.stats()["protocol_errors"] == 1


@pytest.mark.parametrize("size", [4096 + 16 + 1, 65536 + 32])
def test_message_longer_than_its_command_is_refused(client: VfioUserClient, size: int) -> None:
    errors = {refusal(client, command, b"\0" * size) for command in range(1, 14)}

    assert errors <= {errno.EINVAL, errno.ENOTSUP}
    assert client.device_info().num_regions == 9


# ---- descriptors ----


@pytest.mark.parametrize("count", [17, 64, 253])
@pytest.mark.parametrize("command", [Command.DMA_MAP, Command.DEVICE_SET_IRQS, Command.REGION_READ])
def test_more_descriptors_than_announced_end_the_connection(server: ServerProcess, command: int, count: int) -> None:
    idle = server.usage()
    with server.connect() as client:
        client.send_raw(proto.message(command, b"\0" * 32), [0] * count)
        client.wait_closed()

    assert_good_as_new(server, 1, idle)


GOOD_WITHOUT_DESCRIPTORS = {
    Command.DMA_UNMAP: proto.DMA_UNMAP.pack(24, 0, 0, PAGE),
    Command.DEVICE_GET_INFO: proto.DEVICE_INFO.pack(16, 0, 0, 0),
    Command.DEVICE_GET_REGION_INFO: proto.REGION_INFO.pack(32, 0, 0, 0, 0, 0),
    Command.DEVICE_GET_IRQ_INFO: proto.IRQ_INFO.pack(16, 0, 0, 0),
    Command.REGION_READ: READ_ID,
    Command.REGION_WRITE: proto.REGION_ACCESS.pack(0x100, 2, 8) + b"\0" * 8,
    Command.DEVICE_RESET: b"",
    99: b"",
}


@pytest.mark.parametrize("command", GOOD_WITHOUT_DESCRIPTORS)
def test_command_with_descriptors_that_it_does_not_take_is_refused(
    server: ServerProcess, client: VfioUserClient, command: int
) -> None:
    before = server.usage()
    error = refusal(client, command, GOOD_WITHOUT_DESCRIPTORS[command], [0])
    many = refusal(client, command, GOOD_WITHOUT_DESCRIPTORS[command], [0] * 16)

    assert {error, many} <= {errno.EINVAL, errno.ENOTSUP}
    assert server.usage() == before


def test_descriptors_with_later_bytes_of_a_payload_end_the_connection(server: ServerProcess) -> None:
    idle = server.usage()
    message = proto.message(Command.REGION_WRITE, proto.REGION_ACCESS.pack(0, 0, 64) + b"\0" * 64)
    with server.connect() as client:
        client.send_raw(message[:48])
        client.send_raw(message[48:], [0])
        client.wait_closed()

    assert_good_as_new(server, 1, idle)


def test_posted_messages_with_descriptors_leak_none(server: ServerProcess, client: VfioUserClient) -> None:
    before = server.usage()
    for command in [Command.REGION_WRITE, Command.DMA_MAP, Command.DEVICE_SET_IRQS, Command.DEVICE_RESET, 99] * 20:
        client.post(command, b"\0" * 8, flags=Flags.NO_REPLY, fds=[0] * 16)
    client.device_info()

    assert server.usage() == before


# ---- clients that come and go ----


def leave_after_connect(client: VfioUserClient) -> None:
    client.socket.shutdown(socket.SHUT_WR)


def leave_with_memory(client: VfioUserClient) -> None:
    client.version()
    client.dma_map(0, PAGE)
    client.dma_map(PAGE, PAGE, sealed=False)
    client.dma_map(2 * PAGE, PAGE, by_fd=False)


def leave_with_unread_replies(client: VfioUserClient) -> None:
    client.version()
    for _ in range(20):
        client.post(Command.REGION_READ, proto.REGION_ACCESS.pack(0, 7, 4096))


def leave_with_unread_commands(client: VfioUserClient) -> None:
    client.version()
    for _ in range(50):
        client.post(Command.DEVICE_RESET, fds=[0])


def leave_during_a_flood(client: VfioUserClient) -> None:
    client.version()
    Engine(client).start(Engine.MESSAGE, 0xFEE01000, 1, count=3000, spread=3000)


LEAVERS = [leave_after_connect, leave_with_memory, leave_with_unread_replies, leave_with_unread_commands]


def test_a_thousand_clients_leave_nothing(plain: ServerProcess) -> None:
    idle = plain.usage()
    for leave, _ in zip(itertools.cycle([*LEAVERS, leave_during_a_flood]), range(1000), strict=False):
        with plain.connect(negotiate=False) as client:
            leave(client)

    assert_good_as_new(plain, 1000, idle)


def test_eventfds_go_with_their_client(launch: Launch) -> None:
    server = launch("plain", "eventfd")
    idle = server.usage()
    event = os.eventfd(0, os.EFD_NONBLOCK)
    with server.connect() as client:
        client.set_irqs(IrqFlags.DATA_EVENTFD | IrqFlags.ACTION_TRIGGER, 0, 9, [event] * 9)
        held = server.usage()
    os.close(event)

    assert held.fds == idle.fds + 1 + 9
    assert_good_as_new(server, 1, idle)


def test_second_client_waits_until_the_first_has_gone(server: ServerProcess) -> None:
    first = server.connect()
    second = VfioUserClient.connect(server.path, negotiate=False)
    second.post(Command.VERSION, proto.VERSION.pack(0, 0) + b"{}\0")
    second.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        second.receive_raw(1)
    first.close()
    second.socket.settimeout(10)
    message = second.receive_message()
    second.close()

    assert message.header.is_reply
    assert not message.header.is_error


def test_attachment_is_seen_in_the_statistics(server: ServerProcess) -> None:
    with server.connect(negotiate=False) as client:
        before = server.stats()["attached"]
        client.version()
        during = server.stats()["attached"]
    server.wait_disconnected(1)
    after = server.stats()

    assert (before, during, after["attached"]) == (0, 1, 0)
    assert (after["connections"], after["disconnections"]) == (1, 1)


def test_socket_is_the_owners_only_and_goes_with_the_server(launch: Launch) -> None:
    server = launch("plain")
    mode = server.path.stat().st_mode & 0o777
    outcome = server.stop()

    assert mode == 0o600
    assert outcome == (0, "")
    assert not server.path.exists()


def test_stopping_the_server_disconnects_its_client(launch: Launch) -> None:
    server = launch("plain")
    with server.connect() as client:
        outcome = server.stop()
        client.wait_closed()

    assert outcome == (0, "")
