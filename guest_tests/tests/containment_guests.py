"""Three guests and the core with planted faults, for the containment table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from guest_tests.agent_build import AgentImage
from guest_tests.containment import Row, probe, rows
from guest_tests.guests import running_guests
from guest_tests.member import Member
from guest_tests.planted import planted_core
from host_ctl.comparison import Cell, Combination
from host_ctl.interrupts import COMBINATIONS
from host_ctl.run_folder import RunFolder
from qemu_patches import QemuBinary
from qemu_patches.store import default_folder

COLUMNS = tuple(
    Combination(organisation.name.lower(), scope.value)  # type: ignore[arg-type]  # names are those of the comparison
    for organisation, scope in COMBINATIONS
)
STORES = ("array", "table", "queue", "msix")
ROWS = {row.id: row for row in rows()}
SEED = 7


@dataclass(frozen=True, slots=True)
class Table:
    """Makes rows of the containment table."""

    members: Sequence[Member]
    core: ModuleType
    folder: Path

    async def row(self, row: Row, *, planted: bool = True, stores: Sequence[str] = STORES) -> dict[str, Cell]:
        """The row's cell for each combination with one of these stores."""
        return {
            str(column): await probe(row, column, self.members, self.core, self.folder, SEED, planted=planted)
            for column in COLUMNS
            if column.store in stores
        }


@pytest.fixture(scope="module")
async def table(qemu: QemuBinary, agent_image: AgentImage) -> AsyncIterator[Table]:
    """Guests run once for a module; every cell has a host and mdevs of its own."""
    with RunFolder() as run:
        core = planted_core(default_folder() / "planted")
        async with running_guests(3, agent_image, qemu, run.path, accelerator="tcg") as members:
            yield Table(members, core, run.path)
