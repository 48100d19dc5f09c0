"""The event log (5.9): errors that have no record go to the guest's memory if it wants them there, else to SWERROR as ever."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.tests.core_rig import (
    CRAV,
    GENCTRL,
    INTCAUSE,
    RAM,
    RAM_SIZE,
    RCI,
    RCR,
    Cmd,
    GuestView,
    Machine,
    SwError,
    descriptor,
)
from device_model.tests.type_drivers import GENCAP, linux_probe

TYPES = {"dsa-1dwq-v1": 1, "dsa-1dwq-cfg-v1": 1, "dsa-pf-v1": 4}
GENCFG, EVLCFG, EVLSTATUS = 0x80, 0xE0, 0xF0
EVENT_LOG, ALL_EVENTS = 1 << 13, 7
LOG, ENTRY, SIZE = RAM + 0x40000, 64, 64
CAUSE_SWERROR, CAUSE_EVENT_LOG = 1, 1 << 5
BAD_OPERATION, CR_FAULT, HANDLE, LOG_FAILED = 0x10, 0x1A, 0x19, 0x54
UNKNOWN_OPCODE = 0x3F
BAD = descriptor(UNKNOWN_OPCODE, flags=0)
NO_MEMORY = RAM + RAM_SIZE + 0x1000


@pytest.fixture(params=TYPES)
def guest(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GuestView]:
    """A device that Linux's driver has found, not enabled yet."""
    with Machine(tmp_path) as machine:
        plugged = machine.plug(TYPES[request.param], request.param)
        probed = linux_probe(plugged)
        if probed.configurable:
            probed.group(0, 1, 1)
            probed.queue(0, 16)
        yield plugged


def set_up(guest: GuestView, *, base: int = LOG, size: int = SIZE, on: bool = True) -> int:
    """The log as a driver sets it up; CMDSTATUS of Enable Device."""
    guest.write(EVLCFG, base, 8)
    guest.write(EVLCFG + 8, size, 8)
    guest.write(GENCTRL, ALL_EVENTS)
    guest.write(GENCFG, EVENT_LOG if on else 0)
    return guest.command(Cmd.ENABLE_DEVICE)


def start(guest: GuestView, *, base: int = LOG, on: bool = True) -> None:
    assert set_up(guest, base=base, on=on) == 0
    assert guest.command(Cmd.ENABLE_WQ) == 0
    guest.vectors()


def entry(guest: GuestView, index: int) -> tuple[SwError, bytes]:
    """An entry's words, which are laid out as SWERROR's are, and the completion record in it."""
    raw = guest.get(LOG + ENTRY * index, ENTRY)
    return SwError(raw[:32]), raw[32:]


def head_and_tail(guest: GuestView) -> tuple[int, int]:
    status = guest.read(EVLSTATUS, 8)
    return status & 0xFFFF, status >> 32 & 0xFFFF


def pending(guest: GuestView) -> bool:
    return bool(guest.read(EVLSTATUS, 8) >> 62 & 1)


def test_capability_says_64_bytes_an_entry_and_that_a_full_log_drops(guest: GuestView) -> None:
    gencap = guest.read(GENCAP, 8)

    assert (gencap >> 13 & 3, gencap >> 32 & 1) == (1, 1)


def test_error_without_a_record_goes_to_the_log_with_one_interrupt_and_not_to_swerror(guest: GuestView) -> None:
    start(guest)

    guest.run(BAD)
    vectors, cause = guest.vectors(), guest.read(INTCAUSE)
    logged, record = entry(guest, 0)

    assert (logged.code, logged.operation, logged.wq, logged.pasid) == (BAD_OPERATION, UNKNOWN_OPCODE, 0, 0)
    assert (logged.words[0] & 3, logged.words[0] >> 2 & 3) == (0, 3)
    assert record == bytes(32)
    assert (head_and_tail(guest), pending(guest)) == ((0, 1), True)
    assert (vectors, cause) == ([0], CAUSE_EVENT_LOG)
    assert not guest.swerror().valid


def test_further_entries_interrupt_only_when_pending_was_cleared(guest: GuestView) -> None:
    start(guest)

    guest.run(BAD, BAD)
    first = guest.vectors()
    guest.write(EVLSTATUS + 4, 1 << 30)
    cleared = pending(guest)
    guest.run(BAD)
    second = guest.vectors()

    assert (first, cleared, second) == ([0], False, [0])
    assert head_and_tail(guest) == (0, 3)


def test_log_goes_round_and_head_is_the_guests_to_move(guest: GuestView) -> None:
    start(guest)

    for turn in range(SIZE + 2):
        guest.run(BAD)
        guest.write(EVLSTATUS, (turn + 1) % SIZE)

    assert head_and_tail(guest) == (2, 2)
    assert not guest.swerror().valid


def test_full_log_drops_the_event_and_says_so_in_swerror(guest: GuestView) -> None:
    start(guest)
    for _ in range(SIZE - 1):
        guest.run(BAD)
    guest.vectors()
    guest.write(INTCAUSE, 0xFFFF_FFFF)

    guest.run(BAD)

    assert guest.swerror().code == LOG_FAILED
    assert (guest.vectors(), guest.read(INTCAUSE)) == ([0], CAUSE_SWERROR)
    assert head_and_tail(guest) == (0, SIZE - 1)
    assert guest.get(LOG + ENTRY * (SIZE - 1), ENTRY) == bytes(ENTRY)


def test_log_that_is_no_memory_is_reported_in_swerror(guest: GuestView) -> None:
    start(guest, base=NO_MEMORY & ~0xFFF)

    guest.run(BAD)

    assert guest.swerror().code == LOG_FAILED
    assert head_and_tail(guest) == (0, 0)


def test_without_event_log_enable_errors_go_to_swerror(guest: GuestView) -> None:
    start(guest, on=False)

    guest.run(BAD)

    assert guest.swerror().code == BAD_OPERATION
    assert guest.get(LOG, ENTRY) == bytes(ENTRY)


def test_record_that_could_not_be_written_is_in_the_entry(guest: GuestView) -> None:
    """The device looks at the address first, and executes nothing: the record says so."""
    start(guest)
    handle = linux_handle_of(guest)

    guest.run(descriptor(0, flags=CRAV | RCR | RCI, record=NO_MEMORY, handle=handle))
    logged, record = entry(guest, 0)

    assert (logged.code, logged.address) == (CR_FAULT, NO_MEMORY)
    assert (record[0], record[1:]) == (CR_FAULT, bytes(31))
    assert logged.info == handle | 1 << 16 | 1 << 18, "handle, interrupt required, record required"
    assert logged.info_valid


def linux_handle_of(guest: GuestView) -> int:
    """Of vector 1, asked for as the driver does; what is left of it is taken away."""
    handles = guest.mdev.handles
    if guest.mdev.type.own is None:
        assert guest.command(Cmd.REQUEST_HANDLE, 1) >> 8 == handles[0]
    guest.vectors()
    return handles[0]


def test_refused_handle_is_in_the_log_with_the_handle(guest: GuestView) -> None:
    start(guest)

    guest.run(descriptor(0, flags=RCI, handle=0xFFFF))
    logged, _ = entry(guest, 0)

    assert logged.code == HANDLE
    assert logged.info == 0xFFFF | 1 << 16
    assert 1 not in guest.vectors()


@pytest.mark.parametrize(
    ("base", "size", "error"),
    [(LOG, SIZE - 1, 0x19), (LOG, 0, 0x19), (2**64 - 0x1000, SIZE + 1, 0x19), (LOG | 1, SIZE, 0x1B), (LOG | 3, SIZE, 0x1B)],
    ids=["too-small", "empty", "beyond-the-end", "with-pasid", "privileged"],
)
def test_log_that_cannot_be_is_refused_by_enable_device(guest: GuestView, base: int, size: int, error: int) -> None:
    assert set_up(guest, base=base, size=size) == error
    assert guest.command(Cmd.ENABLE_WQ) == 0x20


def test_log_at_the_very_end_of_the_address_space_is_taken(guest: GuestView) -> None:
    assert set_up(guest, base=2**64 - 0x1000, size=SIZE) == 0


def test_event_log_configuration_is_fixed_while_the_device_is_enabled(guest: GuestView) -> None:
    start(guest)

    guest.write(EVLCFG, 0, 8)
    guest.write(EVLCFG + 8, 0, 8)
    guest.write(GENCFG, 0)

    assert (guest.read(EVLCFG, 8), guest.read(EVLCFG + 8, 8)) == (LOG, SIZE)
    assert guest.read(GENCFG) & EVENT_LOG


def test_reset_device_forgets_the_configuration_and_keeps_the_status(guest: GuestView) -> None:
    start(guest)
    guest.run(BAD)

    guest.command(Cmd.RESET_DEVICE)

    assert (guest.read(EVLCFG, 8), guest.read(EVLCFG + 8, 8), guest.read(GENCFG) & EVENT_LOG) == (0, 0, 0)
    assert head_and_tail(guest) == (0, 1)


def test_function_level_reset_forgets_all(guest: GuestView) -> None:
    start(guest)
    guest.run(BAD)

    guest.client.reset()

    assert [guest.read(EVLCFG, 8), guest.read(EVLCFG + 8, 8), guest.read(EVLSTATUS, 8)] == [0, 0, 0]


def test_enable_device_empties_the_log(guest: GuestView) -> None:
    start(guest)
    guest.run(BAD)
    guest.command(Cmd.DISABLE_DEVICE)

    assert guest.command(Cmd.ENABLE_DEVICE) == 0
    assert (head_and_tail(guest), pending(guest)) == ((0, 0), False)


def test_entry_of_one_guest_is_in_no_other_guests_log(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        guests = [machine.plug(1), machine.plug(1)]
        for one in guests:
            linux_probe(one)
            start(one)
            one.put(LOG, struct.pack("<Q", 0))

        guests[0].run(BAD)

        assert head_and_tail(guests[0]) == (0, 1)
        assert head_and_tail(guests[1]) == (0, 0)
        assert guests[1].get(LOG, SIZE * ENTRY) == bytes(SIZE * ENTRY)
        assert (guests[1].vectors(), guests[1].swerror().valid) == ([], False)
