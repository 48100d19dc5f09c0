"""Attack and fault cases (docs/cases.md) that no other test shows: the handle check from inside a batch, in each way it fails.

A member takes its PASID and portal from the batch, and its handle from memory (DSA specification 3.7, 3.8, 5.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from device_model.ledger import Kind, Refusal
from device_model.tests.batch_rig import (
    DATA,
    FAILURES,
    at,
    noop,
    run_batch,
    statuses,
)
from device_model.tests.core_rig import (
    BAD_HANDLE,
    CRAV,
    IMS_PENDING,
    MEMMOVE,
    RCI,
    RCR,
    SUCCESS,
    Cmd,
    GuestView,
    Machine,
    descriptor,
    used,
)

ASKED = CRAV | RCR | RCI


@pytest.fixture
def attacker(machine: Machine, victim: GuestView) -> Iterator[GuestView]:
    yield from used(machine)


def foreign(attacker: GuestView, victim: GuestView) -> int:
    return victim.handle


def never_requested(attacker: GuestView, victim: GuestView) -> int:
    return 200


def beyond_the_table(attacker: GuestView, victim: GuestView) -> int:
    return 256


def all_ones(attacker: GuestView, victim: GuestView) -> int:
    return 0xFFFF


def released(attacker: GuestView, victim: GuestView) -> int:
    attacker.command(Cmd.RELEASE_HANDLE, 1)
    return attacker.handle


def disarmed(attacker: GuestView, victim: GuestView) -> int:
    attacker.entry.disarm()
    return attacker.handle


KINDS = [
    (foreign, Refusal.PASID),
    (never_requested, Refusal.NOT_REQUESTED),
    (beyond_the_table, Refusal.OUT_OF_RANGE),
    (all_ones, Refusal.OUT_OF_RANGE),
    (released, Refusal.NOT_REQUESTED),
    (disarmed, Refusal.PASID_ENABLE),
]
EACH_KIND = pytest.mark.parametrize(("kind", "reason"), KINDS, ids=[kind.__name__ for kind, _ in KINDS])


@EACH_KIND
def test_member_with_a_handle_of_each_forbidden_kind_is_refused_and_the_others_run(
    attacker: GuestView, victim: GuestView, kind: Callable[[GuestView, GuestView], int], reason: Refusal
) -> None:
    handle = kind(attacker, victim)
    untouched = (victim.registers(), bytes(victim.memory))
    attacker.machine.ledger()
    record = run_batch(attacker, noop(0), noop(1, flags=ASKED, handle=handle), noop(2))
    refused = attacker.machine.ledger(Kind.REFUSED)

    assert (record.status, record.bytes_completed) == (FAILURES, 3)
    assert statuses(attacker, 3) == [SUCCESS, BAD_HANDLE, SUCCESS]
    assert [(one.reason, one.handle, bool(one.flags & 1 << 5)) for one in refused] == [(reason, handle, True)]
    assert (attacker.vectors(), victim.vectors()) == ([], [])
    assert (victim.registers(), bytes(victim.memory)) == untouched


@EACH_KIND
def test_refused_member_is_not_executed_whatever_the_reason(
    attacker: GuestView, victim: GuestView, kind: Callable[[GuestView, GuestView], int], reason: Refusal
) -> None:
    handle = kind(attacker, victim)
    attacker.put(DATA, b"\xa5" * 64 + b"\x5a" * 64)
    forged = descriptor(
        MEMMOVE, flags=ASKED, record=at(0), source=DATA, destination=DATA + 64, size=64, handle=handle
    )
    run_batch(attacker, forged, noop(1))

    assert statuses(attacker, 2) == [BAD_HANDLE, SUCCESS]
    assert attacker.get(DATA + 64, 64) == b"\x5a" * 64


def test_entry_given_to_another_vm_is_refused_to_the_one_before_in_a_batch(machine: Machine, attacker: GuestView) -> None:
    owner = machine.started()
    stale = owner.handle
    owner.client.close()
    owner.mdev.close()
    machine.guests.remove(owner)
    heirs = used(machine)
    heir = next(heirs)
    record = run_batch(attacker, noop(0, flags=ASKED, handle=stale), noop(1))
    served = run_batch(heir, noop(0, flags=ASKED, handle=stale), noop(1))
    vectors = (attacker.vectors(), heir.vectors())
    next(heirs, None)

    assert heir.handle == stale
    assert (record.status, served.status) == (FAILURES, SUCCESS)
    assert statuses(attacker, 2) == [BAD_HANDLE, SUCCESS]
    assert vectors == ([], [1])


def test_host_slot_0_is_not_everybodys_in_a_batch(machine: Machine, victim: GuestView, attacker: GuestView) -> None:
    """A member that leaves the handle's field empty names the first entry of the store (case 7)."""
    run_batch(attacker, noop(0, flags=ASKED), noop(1, flags=ASKED, handle=attacker.handle))

    assert victim.handle == 0
    assert statuses(attacker, 2) == [BAD_HANDLE, SUCCESS]
    assert (attacker.vectors(), victim.vectors()) == ([1], [])


@pytest.mark.parametrize("by", ["guest", "host"])
def test_member_at_a_masked_victim_does_not_make_it_pending(attacker: GuestView, victim: GuestView, by: str) -> None:
    mask = {"guest": lambda: victim.mask_vector(1, True), "host": victim.entry.mask}
    unmask = {"guest": lambda: victim.mask_vector(1, False), "host": victim.entry.unmask}
    mask[by]()
    before = victim.registers()
    run_batch(attacker, *(noop(index, flags=ASKED, handle=victim.handle) for index in range(4)))
    pending, after = victim.ims_control() & IMS_PENDING, victim.registers()
    unmask[by]()

    assert statuses(attacker, 4) == [BAD_HANDLE] * 4
    assert (pending, after) == (0, before)
    assert victim.vectors() == []


def test_full_batch_of_forged_handles_leaves_the_victim_silent(attacker: GuestView, victim: GuestView) -> None:
    """32 members, one of which is the guest's own: it alone interrupts."""
    forged = [noop(index, flags=ASKED, handle=victim.mdev.handles[index % 2]) for index in range(31)]
    record = run_batch(attacker, *forged, noop(31, flags=ASKED, handle=attacker.handle))

    assert (record.status, record.bytes_completed) == (FAILURES, 32)
    assert statuses(attacker, 32) == [BAD_HANDLE] * 31 + [SUCCESS]
    assert (attacker.vectors(), victim.vectors()) == ([1], [])
