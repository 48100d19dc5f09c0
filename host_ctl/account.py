"""The device's ledger, read as it grows: who fired what at whom, and whether the ledger keeps its own rules.

The account joins records by their cause (the descriptor) and holds only what later records may refer to, so a run may
be as long as it likes: descriptors that have come to their end are folded, and the oldest of them forgotten.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from device_model.ledger import NO_ENTRY, Kind, LedgerRecord, Refusal
from host_ctl.account_summary import AccountSummary, Delivery, Rule, Violation
from host_ctl.samples import Samples

_VIOLATIONS_KEPT = 20
_KINDS = frozenset(Kind)
_NAMES = {int(kind): kind.name.lower() for kind in Kind}
_REASONS = {int(refusal): refusal.name.lower() for refusal in Refusal}
_NOT_EXECUTED = frozenset({0x19, 0x1A, 0x1B})
"""Completion status of a descriptor that was not executed: handle refused; completion record unwritable (spec 5.4)."""
_NO_INTERRUPT = frozenset({0x1A, 0x1B})
"""Completion status of a descriptor discarded for its completion record: no interrupt is due (spec 5.4)."""


_F_MASKED = 1 << 2
"""LEDGER_F_MASKED: the entry was masked when the record was written."""
_F_RETRACTS = 1 << 4
"""LEDGER_F_RETRACTS, of LOST: the injection noted before did not reach the VM, as far as the host can tell."""


def _bit(*kinds: Kind) -> int:
    return sum(1 << kind for kind in kinds)


_EFFECT = _bit(
    Kind.FIRED, Kind.PENDED, Kind.IGNORED, Kind.REMAPPED, Kind.BLOCKED, Kind.INJECTED, Kind.VM_PENDED, Kind.LOST
)
_END = _bit(
    Kind.DROPPED,
    Kind.REFUSED,
    Kind.ABORTED,
    Kind.IGNORED,
    Kind.PENDED,
    Kind.INJECTED,
    Kind.VM_PENDED,
    Kind.BLOCKED,
    Kind.LOST,
    Kind.VANISHED,
)


_INTO_VM = frozenset({Kind.INJECTED, Kind.VM_PENDED, Kind.LOST})


def _own_event(record: LedgerRecord) -> bool:
    """Vector 0 of a virtual device is its own (command completion, SWERROR): neither IMS entry nor descriptor."""
    return (
        record.kind in _INTO_VM
        and record.vector == 0
        and record.entry == NO_ENTRY
        and record.requester in (0, record.target)
    )


def _place(record: LedgerRecord) -> int | tuple[int, int]:
    """Where an interrupt is pending: an IMS entry, or of a device of its own the (mdev, vector)."""
    return record.entry if record.entry != NO_ENTRY else (record.requester, record.vector)


@dataclass(slots=True)
class Cause:
    """One descriptor, as far as the ledger has told: mdev ids, `seen` is a bit set of 1 << Kind."""

    requester: int
    seen: int = 0
    refusal: int = 0
    target: int = 0
    vector: int | None = None
    status: int | None = None
    crossed: bool = False

    def saw(self, *kinds: Kind) -> bool:
        """True if a record of any of these kinds was read."""
        return bool(self.seen & _bit(*kinds))

    @property
    def finished(self) -> bool:
        """True if no further record is due."""
        if self.seen & _END:
            return True
        return self.saw(Kind.COMPLETED) and (not self.saw(Kind.GRANTED, Kind.FIRED) or self.status in _NO_INTERRUPT)


def _by_guest(counts: Counter[tuple[int, int, int]], owner: Callable[[int], int | None]) -> dict[Delivery, int]:
    by_guest: Counter[Delivery] = Counter()
    for (requester, target, vector), count in counts.items():
        by_guest[owner(requester), owner(target), vector] += count
    return {way: count for way, count in by_guest.items() if count}


class LedgerAccount:
    """Feed it every record of a ledger, in order; `summary()` may be asked for at any time.

    first_seq: number of the first record due. remember: how many finished descriptors are kept to notice late records.
    """

    def __init__(self, *, first_seq: int = 0, remember: int = 65536) -> None:
        self._next_seq = first_seq
        self._remember = remember
        self._records = 0
        self._lost = 0
        self._gaps = 0
        self._kinds: Counter[str] = Counter()
        self._injected: Counter[tuple[int, int, int]] = Counter()
        self._retracted: Counter[tuple[int, int, int]] = Counter()
        self._refusals: Counter[str] = Counter()
        self._refused: Counter[int] = Counter()
        self._open: dict[int, Cause] = {}
        self._folded: OrderedDict[int, Cause] = OrderedDict()
        self._pending: dict[int | tuple[int, int], tuple[int, int]] = {}  # _place -> (cause, requester) that set Pending
        self._loose: dict[int | tuple[int, int], int] = {}  # _place -> requester, sent on unmask with no cause in the record
        self._vm_pending: dict[tuple[int, int], set[int]] = {}  # (target, vector) -> requesters
        self._pended: set[tuple[int, int]] = set()  # (entry, requester)
        self._seen_owners: dict[int, set[int]] = {}
        self._placed: dict[int, set[int]] = {}
        self._owner_now: dict[int, int | None] = {}  # entry -> mdev; None: taken back by the host
        self._ended: set[int] = set()
        self._violations: list[Violation] = []
        self._violation_counts: Counter[Rule] = Counter()
        self._latencies = Samples()
        self._handlers: dict[int, Callable[[LedgerRecord, Cause | None], None]] = {
            Kind.REFUSED: self._on_refused,
            Kind.GRANTED: self._on_granted,
            Kind.COMPLETED: self._on_completed,
            Kind.FIRED: self._on_fired,
            Kind.PENDED: self._on_pended,
            Kind.REMAPPED: self._on_remapped,
            Kind.BLOCKED: self._on_blocked,
            Kind.INJECTED: self._on_injected,
            Kind.VM_PENDED: self._on_vm_pended,
            Kind.LOST: self._on_lost,
        }

    def feed(self, records: Iterable[LedgerRecord]) -> None:
        """Takes the records that follow those fed before."""
        for record in records:
            self._take(record)

    def lost(self, count: int) -> None:
        """`count` records were overwritten before they could be read. Announce it before the records that follow."""
        self._lost += count

    def placed(self, entry: int, mdev: int) -> None:
        """The host gave IMS entry `entry` to `mdev`. Optional: makes an interrupt pending elsewhere a proven leak."""
        self._placed.setdefault(entry, set()).add(mdev)
        self._owner_now[entry] = mdev

    def withdrawn(self, entry: int) -> None:
        """The host took IMS entry `entry` back: until it is placed again, nobody may be granted an interrupt at it."""
        self._owner_now[entry] = None

    def injected_into(self, mdev: int) -> int:
        """Interrupts sent into the VM of an mdev so far, whoever fired them."""
        return sum(count for (_, target, _), count in self._injected.items() if target == mdev)

    def injected_at(self, mdev: int) -> Counter[int]:
        """Vector -> interrupts sent into the VM of an mdev so far, whoever fired them."""
        counts: Counter[int] = Counter()
        for (_, target, vector), count in self._injected.items():
            if target == mdev:
                counts[vector] += count
        return counts

    def cause(self, number: int) -> Cause | None:
        """What is known of a descriptor; None: nothing, or finished too long ago."""
        return self._open.get(number) or self._folded.get(number)

    def summary(self, owner: Callable[[int], int | None]) -> AccountSummary:
        """Adds up. owner: mdev id -> guest index it belongs or belonged to, None: no guest. Changes nothing."""
        injected = _by_guest(self._injected, owner)
        retracted = _by_guest(self._retracted, owner)
        refused: Counter[int | None] = Counter()
        for requester, count in self._refused.items():
            refused[owner(requester)] += count
        elsewhere, unplaced = self._judge_pended()
        counts = self._violation_counts + Counter({Rule.PENDED_ELSEWHERE: len(elsewhere)})
        if self._gaps > self._lost:
            counts[Rule.OUT_OF_SEQUENCE] += 1
        return AccountSummary(
            records=self._records,
            lost=max(self._lost, self._gaps),
            injected=injected,
            retracted=retracted,
            refusals=dict(self._refusals),
            refused_guests=dict(refused),
            counts=dict(self._kinds),
            violations=(*self._violations, *elsewhere),
            violation_counts={rule: count for rule, count in counts.items() if count},
            unfinished=len(self._open),
            unplaced=unplaced,
            latencies_ns=self._latencies.values(),
        )

    def _judge_pended(self) -> tuple[list[Violation], int]:
        elsewhere: list[Violation] = []
        unplaced = 0
        for entry, requester in sorted(self._pended):
            if requester in self._seen_owners.get(entry, ()) or requester in self._placed.get(entry, ()):
                continue
            owners = self._placed.get(entry)
            if owners:
                elsewhere.append(Violation(Rule.PENDED_ELSEWHERE, self._next_seq, 0, requester, min(owners)))
            else:
                unplaced += 1
        return elsewhere, unplaced

    def ended(self, mdev: int) -> None:
        """The host has taken `mdev` apart: its work queue is quiet, and nothing that it has fired is on its way."""
        self._ended.add(mdev)

    def _take(self, record: LedgerRecord) -> None:
        self._check_sequence(record)
        self._records += 1
        self._kinds[_NAMES.get(record.kind, f"kind_{record.kind}")] += 1
        if record.kind not in _KINDS:
            self._violate(Rule.UNKNOWN_KIND, record)
            return
        if record.requester in self._ended:
            self._violate(Rule.AFTER_ITS_END, record)
        cause = self._join(record) if record.cause and not _own_event(record) else None
        handler = self._handlers.get(record.kind)
        if handler:
            handler(record, cause)
        if cause:
            cause.seen |= 1 << record.kind
            self._fold(record.cause, cause)

    def _check_sequence(self, record: LedgerRecord) -> None:
        if record.seq < self._next_seq:
            self._violate(Rule.OUT_OF_SEQUENCE, record)
            return
        self._gaps += record.seq - self._next_seq
        self._next_seq = record.seq + 1

    def _join(self, record: LedgerRecord) -> Cause:
        cause = self.cause(record.cause)
        if cause is None:
            cause = self._open[record.cause] = Cause(record.requester)
        elif record.requester not in (0, cause.requester):
            self._violate(Rule.REQUESTER_CHANGED, record)
        if cause.saw(Kind.REFUSED) and _EFFECT & (1 << record.kind):
            self._violate(Rule.REFUSED_HAD_EFFECT, record)
        return cause

    def _fold(self, number: int, cause: Cause) -> None:
        if cause.finished and number in self._open:
            self._folded[number] = self._open.pop(number)
            if len(self._folded) > self._remember:
                self._folded.popitem(last=False)

    def _violate(self, rule: Rule, record: LedgerRecord, requester: int | None = None) -> None:
        self._violation_counts[rule] += 1
        if self._violation_counts[rule] <= _VIOLATIONS_KEPT:
            named = record.requester if requester is None else requester
            self._violations.append(Violation(rule, record.seq, record.cause, named, record.target))

    def _violate_if_complete(self, rule: Rule, record: LedgerRecord) -> None:
        """For rules broken by the absence of a record: with records lost, absence proves nothing."""
        self._violate(Rule.UNEXPLAINED_AFTER_LOSS if self._lost or self._gaps else rule, record)

    def _check_target(self, rule: Rule, record: LedgerRecord, cause: Cause | None, requester: int) -> None:
        if requester == record.target or (cause is not None and cause.crossed):
            return
        self._violate(rule, record, requester)
        if cause is not None:
            cause.crossed = True

    def _on_refused(self, record: LedgerRecord, cause: Cause | None) -> None:
        self._refusals[_REASONS.get(record.reason, f"reason_{record.reason}")] += 1
        self._refused[record.requester] += 1
        if cause is None:
            return
        cause.refusal = record.reason
        if cause.saw(Kind.GRANTED):
            self._violate(Rule.DECIDED_TWICE, record)
        if cause.seen & _EFFECT:
            self._violate(Rule.REFUSED_HAD_EFFECT, record)
        if cause.status is not None and cause.status not in _NOT_EXECUTED:
            self._violate(Rule.REFUSED_EXECUTED, record)

    def _on_granted(self, record: LedgerRecord, cause: Cause | None) -> None:
        shared = record.entry != NO_ENTRY
        if shared and self._owner_now and self._owner_now.get(record.entry) != record.requester:
            self._violate(Rule.GRANTED_ELSEWHERE, record)
        if cause is not None and cause.saw(Kind.REFUSED):
            self._violate(Rule.DECIDED_TWICE, record)

    def _on_completed(self, record: LedgerRecord, cause: Cause | None) -> None:
        if cause is None:
            return
        cause.status = record.status
        if cause.saw(Kind.REFUSED) and record.status not in _NOT_EXECUTED:
            self._violate(Rule.REFUSED_EXECUTED, record)

    def _on_fired(self, record: LedgerRecord, cause: Cause | None) -> None:
        if record.flags & _F_MASKED:
            self._violate(Rule.FIRED_MASKED, record)
        pending = self._pending.pop(_place(record), None)
        if cause is None:
            if pending is not None:
                self._loose[_place(record)] = pending[1]
            elif record.entry != NO_ENTRY:
                self._violate_if_complete(Rule.FIRED_UNGRANTED, record)
        elif not cause.saw(Kind.GRANTED, Kind.REFUSED) and (pending is None or pending[0] != record.cause):
            self._violate_if_complete(Rule.FIRED_UNGRANTED, record)
        elif pending is None and record.detail:
            self._latencies.add(record.detail)

    def _on_pended(self, record: LedgerRecord, cause: Cause | None) -> None:
        requester = cause.requester if cause is not None else record.requester
        self._pending[_place(record)] = (record.cause, requester)
        if record.entry != NO_ENTRY:
            self._pended.add((record.entry, requester))
        if cause is not None and not cause.saw(Kind.GRANTED, Kind.REFUSED):
            self._violate_if_complete(Rule.FIRED_UNGRANTED, record)

    def _on_remapped(self, record: LedgerRecord, cause: Cause | None) -> None:
        if record.entry != NO_ENTRY:
            self._seen_owners.setdefault(record.entry, set()).add(record.target)
        if cause is not None:
            cause.target, cause.vector = record.target, record.vector
            self._check_target(Rule.CROSS_DELIVERY, record, cause, cause.requester)

    def _on_blocked(self, record: LedgerRecord, cause: Cause | None) -> None:
        if cause is None or cause.saw(Kind.GRANTED):
            self._violate(Rule.BLOCKED_GRANTED, record)

    def _on_injected(self, record: LedgerRecord, cause: Cause | None) -> None:
        waiting = self._vm_pending.pop((record.target, record.vector), None)
        if cause is None:
            requester = self._without_cause(record, waiting)
        else:
            requester = cause.requester
            self._check_way(record, cause)
            if cause.saw(Kind.INJECTED):
                self._violate(Rule.INJECTED_TWICE, record)
            elif not cause.saw(Kind.FIRED) and not (waiting and requester in waiting):
                self._violate_if_complete(Rule.UNEXPLAINED_INJECTION, record)
        self._check_target(Rule.CROSS_DELIVERY, record, cause, requester)
        self._injected[requester, record.target, record.vector] += 1

    def _without_cause(self, record: LedgerRecord, waiting: set[int] | None) -> int:
        """Who fired an interrupt whose record names no descriptor: what was pending, or the virtual device itself."""
        if waiting:
            return next((mdev for mdev in sorted(waiting) if mdev != record.target), record.target)
        if _own_event(record):
            return record.target
        if _place(record) in self._loose:
            return self._loose.pop(_place(record))
        self._violate_if_complete(Rule.UNEXPLAINED_INJECTION, record)
        return record.requester

    def _check_way(self, record: LedgerRecord, cause: Cause) -> None:
        if cause.vector is not None and (cause.target, cause.vector) != (record.target, record.vector):
            self._violate(Rule.TARGET_CHANGED, record)

    def _on_vm_pended(self, record: LedgerRecord, cause: Cause | None) -> None:
        requester = cause.requester if cause is not None else record.requester or record.target
        self._vm_pending.setdefault((record.target, record.vector), set()).add(requester)
        if cause is not None:
            self._check_way(record, cause)
        self._check_target(Rule.PENDED_ELSEWHERE, record, cause, requester)

    def _on_lost(self, record: LedgerRecord, cause: Cause | None) -> None:
        requester = cause.requester if cause is not None else record.requester or record.target
        self._check_target(Rule.CROSS_DELIVERY, record, cause, requester)
        if not record.flags & _F_RETRACTS:
            return
        way = (requester, record.target, record.vector)
        if self._injected[way] <= 0:
            self._violate_if_complete(Rule.RETRACTED_NOTHING, record)
            return
        self._injected[way] -= 1
        self._retracted[way] += 1
