"""A comparison for the tests of what is made from one; its numbers are invented, its shape is a real one's."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import msgspec

from host_ctl.comparison import (
    OPERATIONS,
    Capacity,
    Cell,
    Combination,
    Comparison,
    Cost,
    CostRatio,
    FaultRow,
    Group,
    Outcome,
    Setup,
    Unfaulted,
)
from host_ctl.comparison_verdict import conclude

START = datetime.datetime(2026, 5, 17, 8, 30, tzinfo=datetime.UTC)
SEVEN = (
    Combination("array", "device"), Combination("array", "vm"), Combination("table", "device"), Combination("table", "vm"),
    Combination("queue", "device"), Combination("queue", "vm"), Combination("msix", "device"),
)  # fmt: skip
LETTERS: dict[str, Outcome] = {
    "C": "contained", "L": "leaked", "D": "denied", "H": "harmed_own", "-": "not_possible", "?": "undetermined",
}  # fmt: skip
ROWS: tuple[tuple[Group, str, str, str], ...] = (
    ("guest", "forged-handle", "Handles that the host never gave", "CCCCCCC"),
    ("guest", "stale-handle", "Handles that were released", "CCCCCCC"),
    ("guest", "foreign-portal", "Stores into the portal page of another VM", "CCCCCCC"),
    ("guest", "flood", "Its queue full of descriptors, for as long as it likes", "HHHHHHH"),
    ("host", "wrong-id", "Another VM's PASID or VM_ID is programmed", "LLLLDDL"),
    ("host", "slot-given-twice", "One slot is given to two mdevs", "DCDCDDD"),
    ("host", "queue-memory-freed", "Queue memory is freed while it is still referenced", "----LL-"),
    ("host", "exhaustion-is-slot-0", "Exhaustion is taken for slot 0", "DHDHHHD"),
    ("hardware", "check-skipped", "The owner's ID is not compared", "LL--LLL"),
    ("hardware", "bound-unchecked", "The bound of a table is not checked", "--LL---"),
)
EXCERPT = (
    "       41       0.004113 ACCEPTED   descriptor 9  mdev 1  handle 0x0004 pasid 4098",
    "       42       0.004119 GRANTED    descriptor 9  mdev 1  entry 4  handle 0x0004 pasid 4098",
    "       43       0.004131 INJECTED   descriptor 9  mdev 1  -> mdev 2 vector 1  entry 4  handle 0x0004 pasid 4098",
)
WORDS: dict[Outcome, str] = {
    "contained": "every attempt was refused with status 0x19; guests 1 and 2 counted what was due to them and nothing else",
    "leaked": "guest 1 counted an interrupt at vector 1 that descriptor 9 of guest 0 fired",
    "denied": "guest 1 was due 4 interrupts at vector 2 and counted 3; none went elsewhere",
    "harmed_own": "guest 0 lost its own descriptor; the others counted what was due to them",
    "not_possible": "entries hold no owner's ID here, so there is none to write wrongly",
    "undetermined": "the probe ended with AgentTimeout: guest 2 did not answer in 20 s",
}


def cells() -> Iterator[Cell]:
    """One for each row and column."""
    for group, row, _, letters in ROWS:
        for column, letter in zip(SEVEN, letters, strict=True):
            yield cell(row, column, LETTERS[letter], planted=group != "guest")


def cell(row: str, column: Combination, outcome: Outcome, *, planted: bool = True) -> Cell:
    """A cell as a probe would give it."""
    there = outcome != "not_possible"
    return Cell(
        row=row,
        combination=column,
        outcome=outcome,
        why=WORDS[outcome],
        excerpt=EXCERPT if there else (),
        caught_by="leak: guest 1 received 1 interrupt at vector 1 that the ledger does not explain" if planted and there else "",
        seconds=0.7 if there else 0.0,
    )


def unfaulted(column: Combination, **changes: Any) -> Unfaulted:
    """A column in which all went well."""
    planted = [letters[SEVEN.index(column)] for group, _, _, letters in ROWS if group != "guest"]
    possible = sum(letter != "-" for letter in planted)
    one = Unfaulted(
        combination=column, verdict="ISOLATED", reason="8 guests, 4,211 interrupts due, each of them delivered",
        scenarios_passed=31, scenarios=31, interrupts_due=4211, interrupts_arrived=4211, refusals=5120, caught=possible,
        planted=possible, seconds=6.25, fire_p50_ns=21_400, fire_p99_ns=88_000,
    )  # fmt: skip
    return msgspec.structs.replace(one, **changes)


def capacity(column: Combination) -> Capacity:
    """Of one column."""
    device = {"array": 16128, "table": 2_097_152, "queue": None, "msix": 2047}[column.store]
    return Capacity(
        combination=column, vectors_device=device, vectors_vm=255,
        bound_by="the width of GENCAP[30:25]: 63 x 256 entries" if device else "host memory",
        exhaustion="StoreExhausted: the store has no 4 entries left of 16,128: destroy an mdev first",
        bytes_per_vector_host=0.0 if column.store != "queue" else 16.0,
        bytes_per_vector_device=16.0 if column.store != "queue" else 0.03,
        steps=7, device_state="16 bytes an entry, one bit of Requested",
    )  # fmt: skip


def costs(column: Combination) -> Iterator[Cost]:
    """Of one column: each operation at three sizes, with the array's bound where it is one."""
    most = {"array": 16128, "msix": 2047}.get(column.store, 1_000_000)
    for operation in OPERATIONS:
        for vectors in (1000, 65536, 1_000_000):
            reached = min(vectors, most)
            base = {"allocate": 5200, "free": 4100, "fire": 11_000}[operation]
            yield Cost(
                combination=column, operation=operation, vectors=vectors, reached=reached, p50_ns=base + reached // 900,
                p99_ns=base * 3, why="" if reached == vectors else "the store has no more entries",
            )  # fmt: skip


def ratios(column: Combination) -> Iterator[CostRatio]:
    """Of one column."""
    yield CostRatio(combination=column, operation="allocate", vectors=16128, to="itself with 1,000", ratio=1.02)
    yield CostRatio(combination=column, operation="fire", vectors=16128, to="array/device with 16,128", ratio=1.1)


def comparison(**changes: Any) -> Comparison:
    """Seven columns and ten rows; all is well. Verdict and reason follow from what is changed, unless they are given."""
    setup = Setup(
        guests=8, vectors=4, combinations=SEVEN, faults=True, costs=True, delivery="message", accelerator="tcg",
        accelerator_why="asked for", qemu_version="11.1.3", qemu_origin="Debian's package", machine="2 x Sample CPU, Linux 6.12",
    )  # fmt: skip
    one = Comparison(
        version="0.1.0", command=("vdsa", "compare", "--guests", "8", "--vectors", "4", "--seed", "7"), started=START,
        finished=START + datetime.timedelta(seconds=312), seed=7, options=setup, verdict="NOT PROVEN", reason="to be found out",
        unfaulted=tuple(unfaulted(column) for column in SEVEN),
        rows=tuple(FaultRow(id=name, group=group, title=title, what=f"{title}, in words.") for group, name, title, _ in ROWS),
        cells=tuple(cells()), capacity=tuple(map(capacity, SEVEN)),
        costs=tuple(cost for column in SEVEN for cost in costs(column)),
        ratios=tuple(ratio for column in SEVEN for ratio in ratios(column)),
    )  # fmt: skip
    changed = msgspec.structs.replace(one, **changes)
    verdict, reason = conclude(changed)
    return msgspec.structs.replace(changed, **{"verdict": verdict, "reason": reason} | changes)


def with_cell(row: str, column: str, **changes: Any) -> Comparison:
    """A comparison in which one cell is another."""
    whole = comparison()
    return comparison(
        cells=tuple(
            msgspec.structs.replace(one, **changes) if (one.row, str(one.combination)) == (row, column) else one
            for one in whole.cells
        )
    )
