"""The containment table on three real guests: what becomes of each fault in each combination of store and domain.

The table below is what a reviewer is to agree with; the words are those of host_ctl.comparison.Cell, "-" is not possible here.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from guest_tests.containment import Row
from guest_tests.planted import FAULTS
from guest_tests.tests.containment_guests import COLUMNS, ROWS, Table

pytest_plugins = [
    "host_ctl.tests.qemu_fixtures",
    "guest_tests.tests.agent_guests",
    "guest_tests.tests.containment_guests",
]

EXPECTED = """
                          array/device  array/vm    table/device  table/vm    queue/device  queue/vm    msix/device
forged-handles            contained     contained   contained     contained   contained     contained   contained
stale-handles             contained     contained   contained     contained   contained     contained   contained
foreign-handles           contained     contained   contained     contained   contained     contained   contained
out-of-range-handles      contained     contained   contained     contained   contained     contained   contained
foreign-handles-in-batch  contained     contained   contained     contained   contained     contained   contained
foreign-portals           contained     contained   contained     contained   contained     contained   contained
forged-pasid              contained     contained   contained     contained   contained     contained   contained
flood                     harmed_own    harmed_own  harmed_own    harmed_own  harmed_own    harmed_own  harmed_own
reset-races               harmed_own    harmed_own  harmed_own    harmed_own  harmed_own    harmed_own  harmed_own

wrong-id-programmed       leaked        leaked      leaked        leaked      harmed_own    harmed_own  leaked
wrong-pasid-in-queue      leaked        leaked      leaked        leaked      leaked        leaked      leaked
freed-without-drain       leaked        leaked      contained     contained   contained     contained   leaked
id-reused-in-flight       leaked        leaked      leaked        leaked      leaked        leaked      leaked
slot-given-twice          leaked        harmed_own  harmed_own    harmed_own  harmed_own    harmed_own  leaked
part-given-twice          -             leaked      leaked        leaked      leaked        leaked      -
foreign-handle-returned   harmed_own    harmed_own  harmed_own    harmed_own  harmed_own    harmed_own  harmed_own
foreign-portal-mapped     leaked        leaked      leaked        leaked      leaked        leaked      leaked
remap-elsewhere           leaked        leaked      leaked        leaked      leaked        leaked      leaked
slot-not-cleared          leaked        leaked      -             -           -             -           leaked
freed-while-referenced    -             -           leaked        leaked      contained     contained   -
exhaustion-is-slot-0      leaked        leaked      leaked        leaked      -             -           contained

pasid-check-skipped       leaked        leaked      -             -           contained     contained   leaked
batch-member-not-checked  leaked        leaked      -             -           contained     contained   leaked
check-after-execution     harmed_own    harmed_own  harmed_own    harmed_own  harmed_own    harmed_own  harmed_own
pasid-enable-ignored      leaked        leaked      -             -           harmed_own    harmed_own  leaked
bound-unchecked           contained     contained   leaked        leaked      -             -           contained
handle-state-ignored      harmed_own    harmed_own  harmed_own    harmed_own  harmed_own    harmed_own  harmed_own
pending-on-refusal        leaked        leaked      harmed_own    harmed_own  contained     contained   leaked
mask-ignored              harmed_own    harmed_own  harmed_own    harmed_own  harmed_own    harmed_own  harmed_own
"""
_LINES = [line.split() for line in EXPECTED.splitlines() if line]
_CHECK_SKIPPED = 1
"""enum planted_fault: the entry's PASID is not compared."""
_COLUMNS, _OUTCOMES = _LINES[0], {line[0]: line[1:] for line in _LINES[1:]}


def test_table_has_every_row_and_every_combination() -> None:
    assert [str(column) for column in COLUMNS] == _COLUMNS
    assert list(ROWS) == list(_OUTCOMES)
    assert {fault.id for fault in FAULTS} == {row.id for row in ROWS.values() if row.fault is not None}


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.id)
async def test_fault_comes_to_what_the_table_says(table: Table, row: Row) -> None:
    """Each cell says why, and shows it in the ledger."""
    cells = await table.row(row)
    expected = [word.replace("-", "not_possible") for word in _OUTCOMES[row.id]]

    assert {name: cell.outcome for name, cell in cells.items()} == dict(zip(_COLUMNS, expected, strict=True))
    assert all(cell.why and cell.excerpt for cell in cells.values())


async def test_queue_memory_in_use_is_kept_by_the_pasid_alone(table: Table) -> None:
    """Two faults at once: what contains freed-while-referenced in a queue is the comparison, and nothing beside it."""
    row = ROWS["freed-while-referenced"]
    assert row.fault is not None
    both = replace(row, planted=replace(row.fault, core_fault=_CHECK_SKIPPED))

    cells = await table.row(both, stores=("queue",))

    assert {cell.outcome for cell in cells.values()} == {"leaked"}
