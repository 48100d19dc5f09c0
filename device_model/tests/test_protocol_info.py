"""What a client can ask about the device, and questions that are refused."""

from __future__ import annotations

import errno

import pytest

from device_model import vfio_user_protocol as proto
from device_model.tests.protocol_rig import Launch, refusal
from device_model.vfio_user_client import VfioUserClient
from device_model.vfio_user_protocol import Command


def test_device_is_pci_with_nine_regions_and_five_interrupts(client: VfioUserClient) -> None:
    info = client.device_info()

    assert (info.flags, info.num_regions, info.num_irqs) == (3, 9, 5)


def test_only_bars_0_and_2_and_config_exist_and_none_can_be_mapped(client: VfioUserClient) -> None:
    infos = [client.region_info(index) for index in range(9)]

    assert [info.index for info in infos if info.size] == [0, 2, 7]
    assert {info.flags for info in infos if info.size} == {3}
    assert {info.flags for info in infos if not info.size} == {0}
    assert infos[7].size == 4096


def test_interrupts_are_not_offered_when_they_are_messages(client: VfioUserClient) -> None:
    counts = [client.irq_info(index).count for index in range(5)]

    assert counts == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("device", ["plain", "real"])
def test_msix_by_eventfd_is_offered_and_resizable(launch: Launch, device: str) -> None:
    with launch(device, "eventfd", vectors=5).connect() as client:
        infos = [client.irq_info(index) for index in range(5)]

    assert [info.count for info in infos] == [0, 0, 5, 0, 0]
    assert infos[2].flags == 1


@pytest.mark.parametrize(
    ("command", "payload"),
    [
        (Command.DEVICE_GET_INFO, proto.DEVICE_INFO.pack(15, 0, 0, 0)),
        (Command.DEVICE_GET_INFO, b"\0" * 15),
        (Command.DEVICE_GET_INFO, b"\0" * 17),
        (Command.DEVICE_GET_REGION_INFO, proto.REGION_INFO.pack(32, 0, 9, 0, 0, 0)),
        (Command.DEVICE_GET_REGION_INFO, proto.REGION_INFO.pack(32, 0, 0xFFFFFFFF, 0, 0, 0)),
        (Command.DEVICE_GET_REGION_INFO, proto.REGION_INFO.pack(31, 0, 0, 0, 0, 0)),
        (Command.DEVICE_GET_IRQ_INFO, proto.IRQ_INFO.pack(16, 0, 5, 0)),
        (Command.DEVICE_GET_IRQ_INFO, proto.IRQ_INFO.pack(16, 0, 0x80000002, 0)),
        (Command.DEVICE_GET_IRQ_INFO, proto.IRQ_INFO.pack(0, 0, 2, 0)),
        (Command.DEVICE_RESET, b"\0"),
    ],
)
def test_bad_questions_are_refused(client: VfioUserClient, command: int, payload: bytes) -> None:
    assert refusal(client, command, payload) == errno.EINVAL
    assert client.device_info().num_regions == 9


@pytest.mark.parametrize("command", [0, 6, 11, 12, 14, 15, 16, 17, 18, 0x7FFF, 0xFFFF])
def test_unknown_commands_are_refused(client: VfioUserClient, command: int) -> None:
    assert refusal(client, command, b"\0" * 32) == errno.ENOTSUP
    assert client.device_info().num_regions == 9


def test_refusal_is_a_header_with_id_command_and_errno(client: VfioUserClient) -> None:
    client.send_raw(proto.message(99, b"\0" * 100, message_id=0xBEEF))
    message = client.receive_message()

    assert (message.header.id, message.header.command, message.header.size) == (0xBEEF, 99, 16)
    assert (message.header.flags, message.header.error) == (0x21, errno.ENOTSUP)
