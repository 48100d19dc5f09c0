"""DEVICE_SET_IRQS: eventfds for vectors, in delivery mode `eventfd`."""

from __future__ import annotations

import errno
import os

import pytest

from device_model.tests.protocol_rig import Engine, Launch, pipe_end
from device_model.vfio_user_client import VfioUserClient, VfioUserError
from device_model.vfio_user_protocol import IrqFlags

TRIGGER = IrqFlags.ACTION_TRIGGER


def set_irqs_refusal(
    client: VfioUserClient, flags: int, start: int, count: int, nfds: int = 0, *, index: int = 2, data: bytes = b""
) -> int:
    fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(nfds)]
    try:
        with pytest.raises(VfioUserError) as caught:
            client.set_irqs(flags, start, count, fds, index=index, data=data)
    finally:
        for fd in fds:
            os.close(fd)
    return caught.value.errno


@pytest.mark.parametrize(
    ("flags", "start", "count", "nfds", "data"),
    [
        (IrqFlags.DATA_EVENTFD | TRIGGER, 9, 1, 1, b""),
        (IrqFlags.DATA_EVENTFD | TRIGGER, 0, 10, 10, b""),
        (IrqFlags.DATA_EVENTFD | TRIGGER, 0xFFFFFFFF, 1, 1, b""),
        (IrqFlags.DATA_EVENTFD | TRIGGER, 2, 0xFFFFFFFF, 1, b""),
        (IrqFlags.DATA_EVENTFD | TRIGGER, 2, 0xFFFFFFFF, 0, b""),
        (IrqFlags.DATA_EVENTFD | TRIGGER, 0, 2, 1, b""),
        (IrqFlags.DATA_EVENTFD | TRIGGER, 0, 1, 2, b""),
        (IrqFlags.DATA_NONE | TRIGGER, 0, 1, 1, b""),
        (IrqFlags.DATA_NONE | TRIGGER, 1, 0, 0, b""),
        (IrqFlags.DATA_BOOL | TRIGGER, 0, 2, 0, b"\1"),
        (IrqFlags.DATA_BOOL | TRIGGER, 0, 0xFFFFFFFF, 0, b"\1"),
        (IrqFlags.DATA_NONE | IrqFlags.ACTION_MASK, 0, 1, 0, b""),
        (IrqFlags.DATA_NONE, 0, 1, 0, b""),
        (TRIGGER, 0, 1, 0, b""),
        (0xFFFFFFFF, 0, 1, 0, b""),
    ],
)
def test_bad_set_irqs_are_refused_and_leak_nothing(
    launch: Launch, flags: int, start: int, count: int, nfds: int, data: bytes
) -> None:
    server = launch("plain", "eventfd")
    with server.connect() as client:
        before = server.usage()
        error = set_irqs_refusal(client, flags, start, count, nfds, data=data)

        assert error == errno.EINVAL
        assert server.usage() == before


@pytest.mark.parametrize("index", [0, 1, 3, 4, 5, 0xFFFFFFFF])
def test_interrupts_that_do_not_exist_cannot_be_set(launch: Launch, index: int) -> None:
    with launch("plain", "eventfd").connect() as client:
        error = set_irqs_refusal(client, IrqFlags.DATA_EVENTFD | TRIGGER, 0, 1, 1, index=index)

    assert error == errno.EINVAL


def test_no_eventfd_is_taken_when_interrupts_are_messages(client: VfioUserClient) -> None:
    assert set_irqs_refusal(client, IrqFlags.DATA_EVENTFD | TRIGGER, 0, 1, 1) == errno.EINVAL


def test_descriptor_that_is_no_eventfd_is_refused(launch: Launch) -> None:
    server = launch("plain", "eventfd")
    with server.connect() as client, pipe_end() as fd:
        before = server.usage()
        with pytest.raises(VfioUserError) as caught:
            client.set_irqs(IrqFlags.DATA_EVENTFD | TRIGGER, 0, 1, [fd])

        assert caught.value.errno == errno.EINVAL
        assert server.usage() == before


def test_qemus_way_of_enabling_and_disabling_msix_is_accepted(launch: Launch) -> None:
    server = launch("plain", "eventfd")
    events = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(3)]
    with server.connect() as client:
        before = server.usage()
        client.set_irqs(IrqFlags.DATA_EVENTFD | TRIGGER, 0, 1)
        for vector, event in enumerate(events):
            client.set_irqs(IrqFlags.DATA_EVENTFD | TRIGGER, vector, 1, [event])
            client.set_irqs(IrqFlags.DATA_EVENTFD | TRIGGER, vector, 1, [event])
        enabled = server.usage()
        client.set_irqs(IrqFlags.DATA_NONE | TRIGGER, 0, 0)
        disabled = server.usage()
    for event in events:
        os.close(event)

    assert (enabled.fds - before.fds, disabled.fds - before.fds) == (3, 0)


def test_client_can_trigger_its_own_vectors(launch: Launch) -> None:
    events = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(3)]
    with launch("plain", "eventfd").connect() as client:
        client.set_irqs(IrqFlags.DATA_EVENTFD | TRIGGER, 0, 3, events)
        client.set_irqs(IrqFlags.DATA_NONE | TRIGGER, 0, 2)
        client.set_irqs(IrqFlags.DATA_BOOL | TRIGGER, 0, 3, data=b"\0\1\1")
    counts = [os.eventfd_read(event) for event in events]
    for event in events:
        os.close(event)

    assert counts == [1, 2, 1]


def test_signal_reaches_its_vector_and_no_other(launch: Launch) -> None:
    server = launch("plain", "eventfd")
    events = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
    with server.connect() as client:
        engine = Engine(client)
        client.set_irqs(IrqFlags.DATA_EVENTFD | TRIGGER, 3, 2, events)
        signalled, _ = engine.run(Engine.SIGNAL, 0, 4)
        unregistered, _ = engine.run(Engine.SIGNAL, 0, 5)
        outside, _ = engine.run(Engine.SIGNAL, 0, 9)
        sent = server.stats()["interrupts_sent"]
    with pytest.raises(BlockingIOError):
        os.eventfd_read(events[0])
    count = os.eventfd_read(events[1])
    for event in events:
        os.close(event)

    assert (signalled, unregistered, outside) == (0, -errno.ENOENT, -errno.ENOENT)
    assert (count, sent) == (1, 1)
