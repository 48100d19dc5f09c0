"""VERSION: what is agreed on, and that nothing happens before it."""

from __future__ import annotations

import errno
import json

import pytest

from device_model import vfio_user_protocol as proto
from device_model.tests.protocol_rig import ServerProcess, refusal
from device_model.vfio_user_client import DEFAULT_CAPABILITIES, VfioUserClient
from device_model.vfio_user_protocol import Command, Flags


def version_payload(text: bytes, major: int = 0) -> bytes:
    return proto.VERSION.pack(major, 0) + text


def test_version_tells_limits_and_offers_nothing_that_slows_qemu_down(server: ServerProcess) -> None:
    with server.connect(negotiate=False) as client:
        answer = client.version()

    assert answer == {
        "capabilities": {"max_msg_fds": 16, "max_data_xfer_size": 65536, "pgsizes": 4096, "max_dma_maps": 65535}
    }


@pytest.mark.parametrize(("text", "answer"), [(b"", b""), (b"{}\0", b"{}\0"), (b'{"capabilities":{}}\0', b"{}\0")])
def test_version_reply_is_never_larger_than_its_request(server: ServerProcess, text: bytes, answer: bytes) -> None:
    with server.connect(negotiate=False) as client:
        reply = client.request(Command.VERSION, version_payload(text))

    assert reply == version_payload(answer)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0\0\0",
        version_payload(b"{}\0", major=1),
        version_payload(b"{}"),
        version_payload(b"{}\0\0"),
        version_payload(b"{\0}\0"),
        version_payload(b"{"),
        version_payload(b"{]\0"),
        version_payload(b'{"capabilities":{"max_data_xfer_size":0}}\0'),
        version_payload(b"[" * 100 + b"]" * 100 + b"\0"),
        version_payload(b" " * 5000 + b"{}\0"),
    ],
    ids=["empty", "short", "major", "no-nul", "two-nuls", "nul-inside", "cut", "broken", "no-data", "deep", "long"],
)
def test_bad_version_is_refused_and_ends_the_connection(server: ServerProcess, payload: bytes) -> None:
    with server.connect(negotiate=False) as client:
        error = refusal(client, Command.VERSION, payload)
        client.wait_closed()

    assert error == errno.EINVAL
    assert server.wait_disconnected(1) == 0


@pytest.mark.parametrize("command", [*range(2, 18), 0, 0xFFFF])
def test_nothing_is_done_before_version(plain: ServerProcess, command: int) -> None:
    with plain.connect(negotiate=False) as client:
        error = refusal(client, command)
        client.wait_closed()

    assert error == errno.EINVAL


def test_version_that_wants_no_reply_ends_the_connection_silently(server: ServerProcess) -> None:
    with server.connect(negotiate=False) as client:
        client.post(Command.VERSION, version_payload(b"{}\0"), flags=Flags.NO_REPLY)
        received = client.socket.recv(1)

    assert received == b""


def test_second_version_is_refused_and_the_first_stays(client: VfioUserClient) -> None:
    error = refusal(client, Command.VERSION, version_payload(json.dumps(DEFAULT_CAPABILITIES).encode() + b"\0"))

    assert error == errno.EINVAL
    assert client.device_info().num_regions == 9
