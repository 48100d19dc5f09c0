"""REGION_READ, REGION_WRITE and DEVICE_RESET; the MSI-X capability that QEMU must not see at first."""

from __future__ import annotations

import errno

import pytest

from device_model import vfio_user_protocol as proto
from device_model.tests.protocol_rig import Engine, Launch, ServerProcess, refusal
from device_model.vfio_user_client import VfioUserClient
from device_model.vfio_user_protocol import Command, Flags, Region

MSIX_CAP = 0x80



def test_config_space_is_read_at_once_and_in_any_piece(client: VfioUserClient) -> None:
    whole = client.region_read(Region.CONFIG, 0, 4096)
    pieces = client.region_read(Region.CONFIG, 0, 3) + client.region_read(Region.CONFIG, 3, 7)

    assert whole[:4] == bytes.fromhex("8680250b")
    assert pieces == whole[:10]


def test_msix_capability_is_hidden_until_the_whole_config_space_was_read(server: ServerProcess) -> None:
    with server.connect() as client:
        before = client.region_read(Region.CONFIG, MSIX_CAP, 1)
        wider = client.region_read(Region.CONFIG, MSIX_CAP - 4, 8)[4]
        whole = client.region_read(Region.CONFIG, 0, 4096)[MSIX_CAP]
        after = client.region_read(Region.CONFIG, MSIX_CAP, 1)
        again = client.region_read(Region.CONFIG, 0, 4096)[MSIX_CAP]

    assert (before[0], wider, whole, after[0], again) == (0x09, 0x09, 0x09, 0x11, 0x11)


def test_msix_capability_is_hidden_again_from_the_next_client(server: ServerProcess) -> None:
    with server.connect() as first:
        first.region_read(Region.CONFIG, 0, 4096)
    with server.connect() as second:
        seen = second.region_read(Region.CONFIG, MSIX_CAP, 1)

    assert seen == b"\x09"


def test_whole_config_read_without_reply_does_not_show_the_capability(client: VfioUserClient) -> None:
    client.post(Command.REGION_READ, proto.REGION_ACCESS.pack(0, Region.CONFIG, 4096), flags=Flags.NO_REPLY)

    assert client.region_read(Region.CONFIG, MSIX_CAP, 1) == b"\x09"


def test_msix_capability_is_never_hidden_when_the_vmm_owns_it(launch: Launch) -> None:
    with launch("plain", "eventfd").connect() as client:
        assert client.region_read(Region.CONFIG, MSIX_CAP, 1) == b"\x11"


@pytest.mark.parametrize(
    ("region", "offset", "count"),
    [
        (Region.BAR0, 0, 0),
        (Region.BAR0, 1 << 40, 4),
        (Region.BAR0, 0xFFFFFFFFFFFFFFFC, 8),
        (Region.BAR0, 0xFFFFFFFFFFFFFFFF, 1),
        (Region.BAR0, 0, 4097),
        (Region.BAR0, 0, 0xFFFFFFFF),
        (Region.BAR0, 0, 3),
        (Region.BAR0, 1, 4),
        (Region.CONFIG, 4095, 2),
        (Region.CONFIG, 4096, 1),
        (Region.CONFIG, 1, 4096),
        (Region.CONFIG, 0xFFFFFFFFFFFFFFFC, 8),
        (1, 0, 4),
        (8, 0, 1),
        (9, 0, 4),
        (0xFFFFFFFF, 0, 4),
    ],
)
def test_reads_outside_are_refused(client: VfioUserClient, region: int, offset: int, count: int) -> None:
    access = proto.REGION_ACCESS.pack(offset, region, count)

    assert refusal(client, Command.REGION_READ, access) == errno.EINVAL
    assert len(client.region_read(Region.BAR0, 0, 8)) == 8


@pytest.mark.parametrize(
    ("region", "offset", "count", "data"),
    [
        (Region.BAR0, 1 << 40, 8, b"\0" * 8),
        (Region.BAR0, 0xFFFFFFFFFFFFFFF8, 16, b"\0" * 16),
        (Region.BAR0, 0, 8, b"\0" * 7),
        (Region.BAR0, 0, 8, b"\0" * 9),
        (Region.BAR0, 0, 0, b"\0"),
        (Region.BAR0, 0, 0xFFFFFFFF, b"\0" * 8),
        (Region.BAR0, 0, 4097, b"\0" * 4097),
        (Region.CONFIG, 4095, 2, b"\0" * 2),
        (1, 0, 4, b"\0" * 4),
        (9, 0, 4, b"\0" * 4),
    ],
)
def test_writes_outside_are_refused(client: VfioUserClient, region: int, offset: int, count: int, data: bytes) -> None:
    payload = proto.REGION_ACCESS.pack(offset, region, count) + data

    assert refusal(client, Command.REGION_WRITE, payload) == errno.EINVAL
    assert len(client.region_read(Region.BAR0, 0, 8)) == 8


def test_write_is_answered_with_its_place_and_can_be_read_back(plain_client: VfioUserClient) -> None:
    access = proto.REGION_ACCESS.pack(0x100, Region.BAR0, 8)
    reply = plain_client.request(Command.REGION_WRITE, access + b"12345678")

    assert reply == access
    assert plain_client.region_read(Region.BAR0, 0x100, 8) == b"12345678"


def test_posted_writes_are_done_in_order_and_never_answered(plain_client: VfioUserClient) -> None:
    for value in range(1000):
        plain_client.region_write(Region.BAR0, 0x100, value.to_bytes(8, "little"), posted=True)

    assert plain_client.region_read(Region.BAR0, 0x100, 8) == (999).to_bytes(8, "little")


@pytest.mark.parametrize("command", [Command.REGION_WRITE, Command.REGION_READ, Command.DMA_MAP, 99])
def test_commands_that_want_no_reply_get_none_not_even_an_error(client: VfioUserClient, command: int) -> None:
    client.post(command, b"\xff" * 5, flags=Flags.NO_REPLY)

    assert client.device_info().num_regions == 9  # the next reply is this one's


def test_reset_reaches_the_device(plain_client: VfioUserClient) -> None:
    plain_client.reset()
    plain_client.reset()

    assert Engine(plain_client).get(Engine.RESETS) == 2
