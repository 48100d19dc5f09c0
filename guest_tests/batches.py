"""Batches as a guest runs them: the list and the members' records lie in the guest's scratch memory (DSA specification 3.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guest_tests.agent_numbers import ItemResult
from guest_tests.descriptors import SIZE, WITH_RECORD, Flag, Opcode, Status, descriptor
from guest_tests.member import Member
from guest_tests.rig import Rig

MAX_MEMBERS = 32
"""What a batch may have on every mdev type that has batches."""
RECORD_SIZE = 32
_LIST, _RECORDS, _SOURCE, _DESTINATION = 0x40_0000, 0x40_1000, 0x40_2000, 0x40_3000
"""From the beginning of the scratch memory."""
_MOVED = 256


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of a batch. `processed`: members that the batch counts (8.3.2); `records`: one a member, 32 bytes."""

    status: int
    processed: int
    records: tuple[bytes, ...]

    @property
    def statuses(self) -> list[int]:
        """The members' status codes; 0: no record was written."""
        return [record[0] for record in self.records]


async def run_batch(
    rig: Rig, member: Member, members: Sequence[bytes], *, flags: Flag = WITH_RECORD, handle: int = 0
) -> BatchOutcome:
    """Runs a batch of 2 to 32 members, whose bytes 8 to 15 are replaced by the addresses of their records."""
    base, _ = member.link.scratch
    raw = b"".join(_with_record(one, base + _RECORDS + RECORD_SIZE * number) for number, one in enumerate(members))
    size = RECORD_SIZE * len(members)
    member.link.memory(base + _LIST, SIZE * len(members))[:] = raw
    member.link.memory(base + _RECORDS, size)[:] = bytes(size)
    batch = descriptor(Opcode.BATCH, flags=flags, source=base + _LIST, size=len(members), handle=handle)
    (item,) = await rig.attempt(member, [batch])
    assert item.result is ItemResult.DONE, f"guest {member.index}: the batch has not ended"
    written = bytes(member.link.memory(base + _RECORDS, size))
    records = tuple(written[start : start + RECORD_SIZE] for start in range(0, size, RECORD_SIZE))
    return BatchOutcome(item.status, int.from_bytes(item.completion[4:8], "little"), records)


def _with_record(raw: bytes, record: int) -> bytes:
    return raw[:8] + record.to_bytes(8, "little") + raw[16:]


async def forge_in_batch(rig: Rig, member: Member, handles: Sequence[int]) -> None:
    """Fires with up to 15 handles that are not the guest's to use, from inside one batch, each between members that are in order.

    AssertionError: one was not refused with 0x19, or another member was not carried out, or the batch does not say so (0x05).
    """
    before = descriptor(Opcode.NOOP)
    forged = [descriptor(Opcode.NOOP, flags=WITH_RECORD | Flag.RCI, handle=handle) for handle in handles]
    paint = rig.random.randbytes(_MOVED)
    members = [*(one for attempt in forged for one in (before, attempt)), _last_move(member, paint)]
    outcome = await run_batch(rig, member, members)
    assert_batch(outcome, [*[Status.SUCCESS, Status.HANDLE] * len(forged), Status.SUCCESS])
    moved = bytes(member.link.memory(member.link.scratch[0] + _DESTINATION, _MOVED))
    assert moved == paint, f"guest {member.index}: the member behind the refused ones moved nothing"


def assert_batch(outcome: BatchOutcome, statuses: Sequence[int]) -> None:
    """All members were processed and ended with these statuses, not all of them good; a refused one has done nothing."""
    assert outcome.statuses == list(statuses), f"members ended with {outcome.statuses}, not {list(statuses)}"
    assert outcome.status == Status.BATCH, f"the batch ended with {outcome.status:#04x}, though a member failed"
    assert outcome.processed == len(statuses), f"{outcome.processed} of {len(statuses)} members were processed"
    refused = [record for record in outcome.records if record[0] == Status.HANDLE]
    assert all(record[1:] == bytes(RECORD_SIZE - 1) for record in refused), "a refused member has a result"


def _last_move(member: Member, paint: bytes) -> bytes:
    base, _ = member.link.scratch
    member.link.memory(base + _SOURCE, len(paint))[:] = paint
    member.link.memory(base + _DESTINATION, len(paint))[:] = bytes(len(paint))
    return descriptor(Opcode.MEMMOVE, source=base + _SOURCE, destination=base + _DESTINATION, size=len(paint))


async def assert_batch_is_refused(rig: Rig, member: Member, handle: int) -> None:
    """A batch that itself asks for an interrupt by a handle that is not the guest's is refused whole: no member is processed."""
    outcome = await run_batch(rig, member, [descriptor(Opcode.NOOP)] * 2, flags=WITH_RECORD | Flag.RCI, handle=handle)
    assert outcome.status == Status.HANDLE, f"status {outcome.status:#04x}, a refusal is 0x19"
    assert (outcome.processed, outcome.statuses) == (0, [0, 0]), "members of a refused batch were processed"
