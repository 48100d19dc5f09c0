"""What a run has seen so far: what was due, what the guests counted, what the device's ledger says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from device_model.ledger import decode
from guest_tests.evidence import LEDGER_FILE
from guest_tests.member import Counted
from host_ctl.account import LedgerAccount
from host_ctl.account_summary import AccountSummary
from host_ctl.host import Host
from host_ctl.mdev import Mdev
from host_ctl.verdict import Vector, Window


class Record:
    """Kept by the rig. Counts of guests begin at zero here, whatever their agents have counted before."""

    def __init__(self, members: Sequence[Counted], host: Host, folder: Path) -> None:
        self._members = members
        self._host = host
        self._log = folder / LEDGER_FILE
        self._taken: list[Callable[[], None]] = []
        """Ledger and changes of ownership in their order, not yet accounted for: that takes time, and guests are waiting."""
        self._before: dict[int, Any] = {member.index: member.snapshot() for member in members}
        self._owner: dict[int, int] = {}
        self.account = LedgerAccount()
        self.due: Counter[Vector] = Counter()
        self.windows: list[Window] = []
        self.handles: dict[int, list[int]] = {}
        """mdev id -> handles that its guest got, vectors 1 and up."""

    def created(self, mdev: Mdev, member: Counted) -> None:
        """From now on interrupts of `mdev` are those of `member`, and its entries its own; ids are never used again."""
        self._owner[mdev.id] = member.index
        self.read_ledger()
        self._taken.append(partial(self._place, [interrupt.entry for interrupt in mdev.interrupts], mdev.id))

    def destroyed(self, mdev: Mdev) -> None:
        """The mdev is gone, its entries are nobody's, and nothing of it is on its way."""
        self.read_ledger()
        self._taken.append(partial(self._withdraw, [interrupt.entry for interrupt in mdev.interrupts]))
        self._taken.append(partial(self.account.ended, mdev.id))

    def _place(self, entries: Iterable[int], mdev: int) -> None:
        for entry in entries:
            self.account.placed(entry, mdev)

    def _withdraw(self, entries: Iterable[int]) -> None:
        for entry in entries:
            self.account.withdrawn(entry)

    def _feed(self, raw: bytes, lost: int) -> None:
        self.account.lost(lost)
        self.account.feed(decode(raw))

    def is_due(self, member: Counted, vector: int, count: int = 1) -> None:
        """`count` interrupts must arrive at a vector of this guest."""
        self.due[member.index, vector] += count

    def window(self, name: str, watched: Sequence[Counted], before: frozenset[int], after: frozenset[int]) -> None:
        """A window of silence that has ended."""
        self.windows.append(Window(name, before, after, frozenset(member.index for member in watched), paced=True))

    def read_ledger(self) -> None:
        """Takes what the device has written since: often enough, and its ring never overflows. Judged in summary()."""
        raw, lost = self._host.device.take_ledger()
        with self._log.open("ab") as log:
            log.write(raw)
        self._taken.append(partial(self._feed, raw, lost))

    def summary(self) -> AccountSummary:
        """The ledger so far, by guests."""
        self.read_ledger()
        for step in self._taken:
            step()
        self._taken.clear()
        return self.account.summary(self._owner.get)

    def sent(self) -> dict[int, tuple[int, int]]:
        """Guest -> interrupts into its present mdevs: by the ledger, and by the connection they went through."""
        present = {member.index: member.mdevs for member in self._members if member.mdevs}
        through = {guest: sum(m.vdev.server_stats().interrupts_sent for m in mdevs) for guest, mdevs in present.items()}
        self.summary()
        return {
            guest: (sum(self.account.injected_into(mdev.id) for mdev in mdevs), through[guest])
            for guest, mdevs in present.items()
        }

    def counts(self, member: Counted) -> dict[int, int]:
        """MSI-X vector -> interrupts that the guest's handlers counted since this record began; without zeros."""
        return member.counts_since(self._before[member.index])

    def strays(self, member: Counted) -> int:
        """Interrupts that came where nobody expected one."""
        return member.strays_since(self._before[member.index])

    def guest_counts(self) -> dict[Vector, int]:
        """All guests' counts, with a zero where one is due that did not come."""
        counts: dict[Vector, int] = dict.fromkeys(self.due, 0)
        for member in self._members:
            counts |= {(member.index, vector): count for vector, count in self.counts(member).items()}
        return counts

    def check_counts(self, watched: Sequence[Counted], when: str) -> None:
        """AssertionError: a guest counted more or less than was due so far, or strays."""
        for member in watched:
            seen = self.counts(member)
            due = {vector: count for (guest, vector), count in self.due.items() if guest == member.index}
            wrong = [
                f"{seen.get(vector, 0)} at vector {vector}, due {due.get(vector, 0)}"
                for vector in sorted(seen.keys() | due.keys())
                if seen.get(vector, 0) != due.get(vector, 0)
            ]
            assert not wrong, f"{when}: guest {member.index} counted {'; '.join(wrong)}"
            assert self.strays(member) == 0, f"{when}: guest {member.index} saw interrupts on vectors that nobody owns"
