"""Drain: what it waits for, what is refused (DSA specification 3.10 - 3.12, 8.3.3)."""

from __future__ import annotations

import pytest

from device_model.tests.batch_rig import DRAIN, FLAGS, RECORD, RESERVED, batch_of, lay, noop, statuses
from device_model.tests.core_rig import CRAV, RCI, RCR, SUCCESS, GuestView, descriptor


def test_drain_ends_after_the_records_and_interrupts_of_those_before_it(guest: GuestView) -> None:
    first, second = guest.mdev.handles[:2]
    lay(guest, noop(0, flags=CRAV | RCR | RCI, handle=first), noop(1))
    guest.submit(batch_of(2), descriptor(DRAIN, flags=RCI, handle=second), noop(2))
    steps = [(guest.machine.device.step(), guest.vectors(), statuses(guest, 3)) for _ in range(3)]

    assert steps == [
        (True, [1], [SUCCESS, SUCCESS, 0]),
        (True, [2], [SUCCESS, SUCCESS, 0]),
        (True, [], [SUCCESS] * 3),
    ]


def test_drain_writes_its_record(guest: GuestView) -> None:
    guest.run(descriptor(DRAIN, record=RECORD))

    assert guest.get(RECORD, 32) == bytes([SUCCESS]) + bytes(31)


def test_drain_that_would_end_unseen_is_0x11(guest: GuestView) -> None:
    guest.run(descriptor(DRAIN, flags=CRAV, record=RECORD))

    assert (guest.record(RECORD).status, guest.record(RECORD).invalid_flags) == (FLAGS, RCR | RCI)


@pytest.mark.parametrize("flag", [0, 1, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 20, 23])
def test_flags_that_a_drain_does_not_have_are_0x11(guest: GuestView, flag: int) -> None:
    guest.run(descriptor(DRAIN, flags=CRAV | RCR | 1 << flag, record=RECORD))

    assert (guest.record(RECORD).status, guest.record(RECORD).invalid_flags) == (FLAGS, 1 << flag)


@pytest.mark.parametrize("offset", [16, 24, 32, 38, 63])
def test_reserved_bytes_of_a_drain_are_0x12(guest: GuestView, offset: int) -> None:
    desc = descriptor(DRAIN, record=RECORD)
    guest.run(desc[:offset] + b"\x01" + desc[offset + 1 :])

    assert guest.record(RECORD).status == RESERVED
