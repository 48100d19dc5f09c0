"""The control of the containment table: everything that it tries, with nothing planted, harms nobody."""

from __future__ import annotations

import pytest

from guest_tests.containment import Row
from guest_tests.tests.containment_guests import ROWS, Table

pytest_plugins = [
    "host_ctl.tests.qemu_fixtures",
    "guest_tests.tests.agent_guests",
    "guest_tests.tests.containment_guests",
]


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.fault is not None], ids=lambda row: row.id)
async def test_without_its_fault_a_row_is_contained(table: Table, row: Row) -> None:
    cells = await table.row(row, planted=False)

    assert {cell.outcome for cell in cells.values()} <= {"contained", "not_possible"}, [cell.why for cell in cells.values()]
