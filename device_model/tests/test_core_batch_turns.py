"""In the midst of a batch: the turns of other queues, and what an abort or a reset leaves undone (3.8, 3.15)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device_model.ledger import Kind
from device_model.tests.batch_rig import (
    BATCH,
    LARGE,
    RECORD,
    TURN,
    at,
    batch_of,
    lay,
    map_large,
    noop,
    run_batch,
    statuses,
)
from device_model.tests.core_rig import (
    ACTIVE,
    CMDSTATUS,
    CRAV,
    NOOP,
    RCI,
    RCR,
    SUCCESS,
    Cmd,
    GuestView,
    Machine,
    move,
    used,
)


@pytest.fixture
def guest(machine: Machine) -> Iterator[GuestView]:
    for guest in used(machine):
        yield map_large(guest)


def large(index: int, *, flags: int = CRAV | RCR, handle: int = 0) -> bytes:
    """A member that is a turn of its own."""
    return move(LARGE, LARGE + TURN, TURN, record=at(index), flags=flags, handle=handle)


def begin_long_batch(guest: GuestView, *more: bytes) -> None:
    """A batch of four turns whose first is over; `more` waits behind it."""
    rci = CRAV | RCR | RCI
    lay(guest, *(large(i, flags=rci, handle=guest.handle) for i in range(4)))
    guest.submit(batch_of(4, flags=rci, handle=guest.handle), *more)
    guest.machine.device.step()


def test_batch_gives_way_to_other_queues_after_a_turn(guest: GuestView, victim: GuestView) -> None:
    begin_long_batch(guest)
    victim.submit(noop(0))
    victim.machine.device.step()

    assert statuses(victim, 1) == [SUCCESS]
    assert statuses(guest, 4) == [SUCCESS, 0, 0, 0]
    assert guest.machine.step_all() == 3
    assert guest.vectors() == [1] * 5


def test_queue_stays_in_order_while_a_batch_takes_turns(guest: GuestView) -> None:
    begin_long_batch(guest, noop(4))
    guest.machine.device.step()
    guest.machine.device.step()
    before = (statuses(guest, 5), guest.record(RECORD).status)
    guest.machine.step_all()

    assert before == ([SUCCESS, SUCCESS, SUCCESS, 0, 0], 0)
    assert (statuses(guest, 5), guest.record(RECORD).status) == ([SUCCESS] * 5, SUCCESS)


@pytest.mark.parametrize("command", [Cmd.ABORT_WQ, Cmd.RESET_WQ, Cmd.ABORT_ALL, Cmd.RESET_DEVICE])
def test_abort_or_reset_between_members_leaves_the_rest_undone(guest: GuestView, command: Cmd) -> None:
    guest.machine.ledger()
    begin_long_batch(guest, noop(4))
    guest.vectors()
    status = guest.command(command, 1 if command in (Cmd.ABORT_WQ, Cmd.RESET_WQ) else 0)
    before = bytes(guest.memory)
    steps = guest.machine.step_all()
    records = guest.machine.ledger(Kind.ABORTED)

    assert (status, steps) == (0, 0)
    assert statuses(guest, 5) == [SUCCESS, 0, 0, 0, 0]
    assert guest.record(RECORD).status == 0
    assert guest.vectors() == []
    assert bytes(guest.memory) == before
    assert [r.opcode for r in records] == [BATCH, NOOP]


def test_reset_of_the_function_between_members_leaves_the_rest_undone(guest: GuestView) -> None:
    begin_long_batch(guest, noop(4))
    guest.vectors()
    guest.client.reset()
    before = bytes(guest.memory)
    steps = guest.machine.step_all()

    assert steps == 0
    assert bytes(guest.memory) == before
    assert guest.vectors() == []


@pytest.mark.parametrize("command", [Cmd.DRAIN_WQ, Cmd.DISABLE_WQ])
def test_drain_and_disable_wait_for_the_whole_batch(guest: GuestView, command: Cmd) -> None:
    begin_long_batch(guest)
    status = guest.command(command, 1)
    guest.machine.device.step()
    guest.machine.device.step()
    still = guest.read(CMDSTATUS)
    guest.machine.step_all()

    assert (status, still, guest.read(CMDSTATUS)) == (ACTIVE, ACTIVE, 0)
    assert guest.record(RECORD).status == SUCCESS
    assert guest.vectors() == [1] * 5


def test_queue_that_was_reset_in_the_midst_of_a_batch_begins_afresh(guest: GuestView) -> None:
    begin_long_batch(guest)
    guest.command(Cmd.RESET_DEVICE)
    guest.enable()
    record = run_batch(guest, noop(5), noop(6))

    assert (record.status, record.bytes_completed) == (SUCCESS, 2)


def test_unplugged_guest_with_a_batch_in_progress_is_silent(guest: GuestView, victim: GuestView) -> None:
    begin_long_batch(guest)
    guest.vectors()
    guest.mdev.close()
    before = bytes(guest.memory)
    victim.run(noop(0, flags=CRAV | RCR | RCI, handle=victim.handle))

    assert bytes(guest.memory) == before
    assert guest.client.interrupts == []
    assert victim.vectors() == [1]
