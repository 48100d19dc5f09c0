"""What an account of the device's ledger comes to: the form in which it is judged."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

Delivery = tuple[int | None, int | None, int]
"""(guest that fired, guest that received, vector); None: an mdev that no guest owns."""


class Rule(enum.StrEnum):
    """A rule that every ledger keeps; the value is what to call a breach of it."""

    REFUSED_EXECUTED = "a refused descriptor was executed"
    REFUSED_HAD_EFFECT = "a refused descriptor led to an interrupt"
    FIRED_UNGRANTED = "an interrupt was sent for a descriptor that was never granted one"
    FIRED_MASKED = "a masked entry sent its message"
    CROSS_DELIVERY = "an interrupt went to a device other than the one that fired it"
    PENDED_ELSEWHERE = "an interrupt was made pending at a device other than the one that fired it"
    GRANTED_ELSEWHERE = "a device was granted an interrupt at an entry that is not its own"
    UNEXPLAINED_INJECTION = "an interrupt went into a guest and nothing in the ledger led to it"
    INJECTED_TWICE = "one descriptor led to two interrupts"
    TARGET_CHANGED = "an interrupt went to another vector than the one it was remapped to"
    REQUESTER_CHANGED = "the records of one descriptor name different devices as its submitter"
    BLOCKED_GRANTED = "a granted interrupt was blocked by interrupt remapping"
    DECIDED_TWICE = "one descriptor was both granted and refused its interrupt"
    OUT_OF_SEQUENCE = "the ledger's records are out of sequence"
    UNKNOWN_KIND = "the ledger has a record of a kind that nobody knows"
    AFTER_ITS_END = "a descriptor of a device that was gone already was carried on"
    RETRACTED_NOTHING = "an injection was taken back that the ledger does not have"
    UNEXPLAINED_AFTER_LOSS = "records were lost, and an interrupt is unexplained without them"


LEAKS = frozenset(
    {
        Rule.REFUSED_EXECUTED,
        Rule.REFUSED_HAD_EFFECT,
        Rule.FIRED_UNGRANTED,
        Rule.FIRED_MASKED,
        Rule.CROSS_DELIVERY,
        Rule.PENDED_ELSEWHERE,
        Rule.GRANTED_ELSEWHERE,
        Rule.UNEXPLAINED_INJECTION,
        Rule.INJECTED_TWICE,
        Rule.TARGET_CHANGED,
        Rule.REQUESTER_CHANGED,
    }
)
"""Rules whose breach is a leak in itself; the breach of any other leaves isolation unproven."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach. `seq` is the number of the ledger record that showed it; ids are those of mdevs, 0: none."""

    rule: Rule
    seq: int
    cause: int
    requester: int
    target: int

    def __str__(self) -> str:
        return (
            f"{self.rule} (record {self.seq}, descriptor {self.cause}, "
            f"from device {self.requester}, to device {self.target})"
        )


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """A ledger, added up. Counts are of records unless said otherwise; guests are guest indices."""

    records: int
    lost: int
    """Records overwritten before they were read, announced or seen as gaps in the sequence."""
    injected: Mapping[Delivery, int]
    refusals: Mapping[str, int]
    """Reason in lower case (enum refusal) -> count."""
    refused_guests: Mapping[int | None, int]
    """Guest that made the attempt -> refusals."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Name of the record kind in lower case (enum ledger_kind) -> count."""
    violations: tuple[Violation, ...] = ()
    """The first breaches of each rule, in the order of the ledger; `violation_counts` has them all."""
    violation_counts: Mapping[Rule, int] = field(default_factory=dict)
    unfinished: int = 0
    """Descriptors whose end the ledger does not show."""
    unplaced: int = 0
    """(entry, mdev) pairs made pending where the ledger never showed that the entry is the mdev's."""
    retracted: Mapping[Delivery, int] = field(default_factory=dict)
    """Injections that failed, not in `injected`; the host cannot know that none of them reached its guest."""
    latencies_ns: tuple[int, ...] = ()
    """Accepted to message sent, of interrupts that were not pending in between; ascending, a sample in long runs."""

    def delivered(self) -> dict[tuple[int, int], int]:
        """(guest, vector) -> interrupts sent into the guest, whoever fired them."""
        return _received(self.injected)

    def failed(self) -> dict[tuple[int, int], int]:
        """(guest, vector) -> injections into the guest that were taken back."""
        return _received(self.retracted)

    def matrix(self, guests: int) -> list[list[int]]:
        """[fired by][received by] -> interrupts, for guests 0..guests-1."""
        rows = [[0] * guests for _ in range(guests)]
        for (sender, receiver, _), count in self.injected.items():
            if sender in range(guests) and receiver in range(guests):
                assert sender is not None and receiver is not None
                rows[sender][receiver] += count
        return rows


def _received(ways: Mapping[Delivery, int]) -> dict[tuple[int, int], int]:
    totals: dict[tuple[int, int], int] = {}
    for (_, receiver, vector), count in ways.items():
        if receiver is not None:
            totals[receiver, vector] = totals.get((receiver, vector), 0) + count
    return totals
