"""The device's ledger as a probe reads it: what each descriptor has led to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from device_model.ledger import NO_ENTRY, RECORD_SIZE, Kind, LedgerRecord, decode
from device_model.trace_lines import ledger_line
from guest_tests.evidence import LEDGER_FILE
from guest_tests.record import Record
from host_ctl.comparison import EXCERPT_LINES

_MEMBER = 1 << 5
"""LEDGER_F_MEMBER: read from the list of a batch."""
_MASKED = 1 << 2
"""LEDGER_F_MASKED."""
_DROPPED = frozenset({Kind.DROPPED, Kind.ABORTED})
_ENDS = frozenset(
    {Kind.PENDED, Kind.IGNORED, Kind.BLOCKED, Kind.INJECTED, Kind.VM_PENDED, Kind.LOST, Kind.VANISHED, Kind.REFUSED}
)
_NO_INTERRUPT = frozenset({0x1A, 0x1B})
"""Status of a descriptor that was discarded for its completion record."""


@dataclass(slots=True)
class Course:
    """What one descriptor has led to. requester: id of the mdev whose portal took it; 0: nobody can tell."""

    requester: int
    records: list[LedgerRecord] = field(default_factory=list)

    def saw(self, *kinds: Kind) -> bool:
        """Whether there is a record of any of these kinds."""
        return any(record.kind in kinds for record in self.records)

    @property
    def ended(self) -> bool:
        """Whether no further record is due until somebody unmasks something."""
        if self.saw(*_DROPPED):
            return True
        status = next((record.status for record in self.records if record.kind == Kind.COMPLETED), None)
        if status is None:
            return False
        return status in _NO_INTERRUPT or not self.saw(Kind.GRANTED) or self.saw(*_ENDS)

    @property
    def reached(self) -> set[tuple[int, int]]:
        """(mdev, vector) that its interrupt was sent into, or is pending at."""
        return {(r.target, r.vector) for r in self.records if r.kind in (Kind.INJECTED, Kind.VM_PENDED)}

    @property
    def sent_masked(self) -> bool:
        """Whether its message left while the entry was masked."""
        return any(record.kind == Kind.FIRED and record.flags & _MASKED for record in self.records)


class Trail:
    """Follows the ledger through the file that the rig's record keeps of it."""

    def __init__(self, record: Record, folder: Path) -> None:
        self._record, self._file = record, folder / LEDGER_FILE
        self._read = 0
        self._at_entry: dict[int, int] = {}
        self.courses: dict[int, Course] = {}
        """By cause. What has none is of whoever named its entry last: an entry in host memory does not keep who set Pending."""
        self.injected: dict[tuple[int, int], int] = {}
        """(mdev, vector) -> interrupts sent into it."""

    def refresh(self) -> list[LedgerRecord]:
        """Takes what the device has written since, and returns it."""
        self._record.read_ledger()
        with self._file.open("rb") as log:
            log.seek(self._read * RECORD_SIZE)
            fresh = list(decode(log.read()))
        self._read += len(fresh)
        for record in fresh:
            self._take(record)
        return fresh

    def _take(self, record: LedgerRecord) -> None:
        cause = record.cause
        if cause and record.entry != NO_ENTRY:
            self._at_entry[record.entry] = cause
        elif not cause and record.entry != NO_ENTRY:
            cause = self._at_entry.get(record.entry, 0)
        if cause or record.vector:
            self.courses.setdefault(cause, Course(record.requester)).records.append(record)
        way = (record.target, record.vector)
        if record.kind == Kind.INJECTED:
            self.injected[way] = self.injected.get(way, 0) + 1

    @property
    def settled(self) -> bool:
        """Whether all descriptors have come to their end."""
        return all(course.ended for cause, course in self.courses.items() if cause)

    def accepted(self, records: Sequence[LedgerRecord], mdev: int) -> list[int]:
        """Causes of descriptors that a portal has taken, in order."""
        return [
            record.cause
            for record in records
            if record.kind == Kind.ACCEPTED and record.requester == mdev and not record.flags & _MEMBER
        ]

    def last_at(self, entry: int) -> int:
        """Cause of the descriptor that named an entry last; 0: none has."""
        return self._at_entry.get(entry, 0)

    def excerpt(self, causes: Sequence[int]) -> tuple[str, ...]:
        """All records of the first descriptor, and of those that follow as many as have room, in the order of the ledger."""
        chosen: list[LedgerRecord] = []
        for cause in causes:
            records = self.courses[cause].records
            if not chosen or len(chosen) + len(records) <= EXCERPT_LINES:
                chosen += records
        chosen.sort(key=lambda record: record.seq)
        return tuple(map(_line, chosen[:EXCERPT_LINES]))

    def by_mdev(self, mdev: int) -> Iterator[int]:
        """Causes of descriptors that came through this mdev's portal."""
        return (cause for cause, course in self.courses.items() if cause and course.requester == mdev)


def _line(record: LedgerRecord) -> str:
    pasid = f" pasid={record.pasid}" if record.kind == Kind.ACCEPTED else ""
    return f"mdev {record.requester}: {ledger_line(record)}{pasid}"
