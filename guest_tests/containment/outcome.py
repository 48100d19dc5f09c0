"""What became of a fault: a pure function from what was seen to one of four outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from host_ctl.comparison import Outcome

Way = tuple[int | None, int]
"""(guest whose descriptor it was, guest that it came to); None: it cannot be told whose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a probe has seen. Guests are guest indices; counts are of interrupts unless said otherwise.

    subjects: guests that attack, or that the host's mistake is about: what they lose is their own.
    """

    subjects: frozenset[int]
    sent: Mapping[Way, int] = field(default_factory=dict)
    """Sent into a guest, or made pending for it, by the device's ledger."""
    written: frozenset[tuple[int, int]] = frozenset()
    """(guest whose descriptor it was, guest in whose memory it wrote); not where the two are the same."""
    unexplained: Mapping[int, int] = field(default_factory=dict)
    """Guest -> counted by its handlers, and not in the ledger; strays too."""
    lost: Mapping[int, int] = field(default_factory=dict)
    """Guest -> were due to it, and did not come."""
    undue: Mapping[int, int] = field(default_factory=dict)
    """Guest -> its own, that it should not have got: refused or masked ones."""
    executed: Mapping[int, int] = field(default_factory=dict)
    """Guest -> its refused descriptors that changed its memory."""
    dropped: Mapping[int, int] = field(default_factory=dict)
    """Guest -> its descriptors that found no place in its own work queue."""
    refused: int = 0
    """Attempts that were refused, dropped, or found nothing when their message was due."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An outcome, and in words what was seen. guest: whom the evidence is about; None: nobody has lost anything."""

    outcome: Outcome
    seen: str
    guest: int | None = None


def judge(seen: Seen) -> Judged:
    """The worst that was seen: leaked, denied, harmed_own, contained."""
    return _leak(seen) or _denial(seen) or _own_harm(seen) or Judged("contained", _contained(seen))


def _leak(seen: Seen) -> Judged | None:
    astray = {way: count for way, count in seen.sent.items() if count and way[0] != way[1]}
    words = [f"{_interrupts(count)} of {_name(sender)} came to guest {receiver}" for (sender, receiver), count in astray.items()]
    words += [f"DMA of guest {sender} wrote into the memory of guest {receiver}" for sender, receiver in sorted(seen.written)]
    words += [f"guest {g} counted {_interrupts(n)} that the ledger does not explain" for g, n in seen.unexplained.items() if n]
    return Judged("leaked", "; ".join(words), next(iter(astray), (None, None))[0]) if words else None


def _denial(seen: Seen) -> Judged | None:
    denied = {guest: count for guest, count in seen.lost.items() if count and guest not in seen.subjects}
    words = [f"guest {guest} lost {_interrupts(count)} that {_were(count)} due" for guest, count in denied.items()]
    return Judged("denied", "; ".join(words), min(denied)) if denied else None


def _own_harm(seen: Seen) -> Judged | None:
    words = [f"guest {guest} lost {_interrupts(count)} of its own" for guest, count in seen.lost.items() if count]
    words += [f"guest {g} got {_interrupts(n)} of its own that it should not" for g, n in seen.undue.items() if n]
    words += [f"guest {g}: {n} refused descriptors changed its own memory" for g, n in seen.executed.items() if n]
    words += [f"guest {g}: {n} of its descriptors were dropped" for g, n in seen.dropped.items() if n]
    guests = [guest for counts in (seen.lost, seen.undue, seen.executed, seen.dropped) for guest in counts if counts[guest]]
    return Judged("harmed_own", "; ".join(words), guests[0]) if words else None


def _contained(seen: Seen) -> str:
    if not seen.refused:
        return "nothing was lost, nothing went astray"
    attempts = "attempt" if seen.refused == 1 else "attempts"
    return f"{seen.refused} {attempts} refused or without effect, nothing lost, nothing astray"


def _interrupts(count: int) -> str:
    return f"{count} interrupt" if count == 1 else f"{count} interrupts"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _name(guest: int | None) -> str:
    return "nobody known" if guest is None else f"guest {guest}"
