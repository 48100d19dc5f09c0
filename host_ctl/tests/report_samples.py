"""Results, ledger records and evidence for the tests of what is made from them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field

from device_model.ledger import NO_ENTRY, Kind, LedgerRecord
from host_ctl.account import LedgerAccount
from host_ctl.results import (
    ConditionResult,
    Control,
    Guest,
    Options,
    Resource,
    RunResult,
    Scenario,
    promise,
    timing,
)
from host_ctl.verdict import TITLES, ControlOutcome, Evidence, Outcome, Window

START = datetime.datetime(2026, 5, 17, 8, 30, tzinfo=datetime.UTC)


@dataclass
class Ledger:
    """Writes records as a device does: numbered, one after the other."""

    records: list[LedgerRecord] = field(default_factory=list)

    def add(self, kind: int, cause: int = 0, requester: int = 0, target: int = 0, **more: int) -> None:
        values = {"time_ns": 1000, "detail": 0, "pasid": requester, "entry": NO_ENTRY, "handle": 0, "vector": 0}
        values |= {"wq": 0, "reason": 0, "status": 1, "opcode": 0, "flags": 0} | more
        record = LedgerRecord(
            seq=len(self.records), cause=cause, requester=requester, target=target, kind=kind, **values
        )
        self.records.append(record)

    def granted(self, cause: int, requester: int, entry: int) -> None:
        """Up to the completion of a descriptor whose interrupt was granted."""
        for kind in (Kind.ACCEPTED, Kind.GRANTED, Kind.COMPLETED):
            self.add(kind, cause, requester, entry=entry)

    def delivered(self, cause: int, requester: int, target: int, vector: int, entry: int = 7) -> None:
        """The whole way of an interrupt."""
        self.granted(cause, requester, entry)
        self.add(Kind.FIRED, cause, requester, entry=entry, detail=4000)
        self.add(Kind.REMAPPED, cause, requester, target, vector=vector, entry=entry)
        self.add(Kind.INJECTED, cause, requester, target, vector=vector, entry=entry)

    def refused(self, cause: int, requester: int, reason: int = 4) -> None:
        """A descriptor whose handle was refused."""
        self.add(Kind.ACCEPTED, cause, requester)
        self.add(Kind.REFUSED, cause, requester, reason=reason)
        self.add(Kind.COMPLETED, cause, requester, status=0x19)

    def account(self, remember: int = 65536) -> LedgerAccount:
        """An account fed with everything."""
        account = LedgerAccount(remember=remember)
        account.feed(self.records)
        return account


def guest_of(mdev: int) -> int | None:
    """mdev 1 is guest 0's, and so on; 0 is nobody's."""
    return mdev - 1 if 0 < mdev < 100 else None


def good_evidence(unpaced: Iterable[int] = ()) -> Evidence:
    """Three guests with two vectors, two interrupts at each, one refused attempt by each guest; all is well."""
    ledger = Ledger()
    cause = 0
    for guest in range(3):
        for vector in (1, 2):
            for _ in range(2):
                cause += 1
                ledger.delivered(cause, guest + 1, guest + 1, vector, entry=10 * guest + vector)
        cause += 1
        ledger.refused(cause, guest + 1)
    guests = frozenset(range(3))
    counts = {(guest, vector): 2 for guest in guests for vector in (1, 2)}
    windows = [Window("forged", guests, guests, guests, True)]
    windows += [Window("storm", guests, guests, frozenset(unpaced), False)] if unpaced else []
    return Evidence(
        guests=guests,
        due=counts,
        guest_counts=counts,
        strays=dict.fromkeys(guests, 0),
        account=ledger.account().summary(guest_of),
        windows=tuple(windows),
        scenarios={"test_a": Outcome.PASSED, "test_b": Outcome.PASSED},
        planned_scenarios=frozenset({"test_a", "test_b"}),
        controls={"PASID_CHECK_SKIPPED": ControlOutcome.CAUGHT},
        planned_controls=frozenset({"PASID_CHECK_SKIPPED"}),
        resources_before={"slots": 0, "fds": 12},
        resources_after={"slots": 0, "fds": 12},
    )


def good_result(size: int = 3, **more: object) -> RunResult:
    """An ISOLATED run; `more` replaces fields."""
    fields: dict[str, object] = {
        "version": "0.1.0",
        "command": ("vdsa", "run", "--guests", str(size), "--seed", "7"),
        "started": START,
        "finished": START + datetime.timedelta(seconds=12.5),
        "seed": 7,
        "options": Options(
            guests=size, vectors=2, store="array", domain_scope="device", delivery="message", accelerator="tcg",
            accelerator_why="asked for", qemu_version="11.1.3", qemu_origin="system",
        ),
        "guests": tuple(Guest(index=index, sent=40, received=40, refused=3, unexplained=0) for index in range(size)),
        "matrix": tuple(tuple(40 if row == column else 0 for column in range(size)) for row in range(size)),
        "refusals": {"pasid": 6, "not_requested": 3},
        "scenarios": (scenario("test_forged_handle_is_refused"), scenario("test_own_interrupt_arrives_once")),
        "controls": (
            Control(fault="MASK_IGNORED", planted="masked entries send", outcome="caught", caught_by="seen", seconds=1),
        ),
        "conditions": tuple(
            ConditionResult(number=number, title=title, held=True, evidence="seen")
            for number, title in enumerate(TITLES, 1)
        ),
        "resources": (Resource(name="slots", before=0, after=0),),
        "timings": (timing("guest ready", [40.0, 45.0, 50.0], "ms"),),
        "verdict": "ISOLATED",
        "reason": "every interrupt stayed where it belonged",
    }  # fmt: skip
    return RunResult(**(fields | more))  # type: ignore[arg-type]


def leaked_result(size: int = 3) -> RunResult:
    """Guest 0 reached guest 2, five times."""
    rows = [[40 if row == column else 0 for column in range(size)] for row in range(size)]
    rows[0][2] = 5
    broken = ConditionResult(number=2, title=TITLES[1], held=False, evidence="guest 2 received 5 interrupts of guest 0")
    good = good_result(size)
    return good_result(
        size,
        matrix=tuple(map(tuple, rows)),
        conditions=(good.conditions[0], broken, *good.conditions[2:]),
        verdict="LEAKED",
        reason="guest 2 received 5 interrupts fired by guest 0",
    )


def scenario(name: str, outcome: str = "passed", message: str = "") -> Scenario:
    """A scenario that took half a second."""
    return Scenario(name=name, promise=promise(name), outcome=outcome, seconds=0.5, message=message)  # type: ignore[arg-type]
