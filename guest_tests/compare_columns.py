"""The columns of a comparison while it runs: a session for each combination, all in the same guests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from guest_tests.session import Session
from host_ctl.comparison import Cell, Combination
from host_ctl.comparison_options import CompareOptions
from host_ctl.progress import Progress
from host_ctl.verdict import Outcome


class ColumnProgress:
    """Says at each step which column it belongs to."""

    def __init__(self, progress: Progress, column: Combination) -> None:
        self._progress = progress
        self._column = column

    def phase(self, name: str) -> None:
        self._progress.phase(f"{self._column}: {name}")

    def guests_ready(self, ready: int, total: int) -> None:
        self._progress.guests_ready(ready, total)

    def planned(self, total: int) -> None:
        self._progress.planned(total)

    def started(self, name: str) -> None:
        self._progress.started(name)

    def finished(self, name: str, outcome: str, seconds: float) -> None:
        self._progress.finished(name, outcome, seconds)

    def note(self, text: str) -> None:
        self._progress.note(f"{self._column}: {text}")


@dataclass(slots=True, kw_only=True)
class Column(Session):
    """One combination: what `vdsa run` would have a whole session for, and its part of the containment table."""

    combination: Combination
    planned_rows: list[str] = field(default_factory=list)
    """Ids of rows whose cells were to be tried."""
    cells: dict[str, Cell] = field(default_factory=dict)
    """Row -> what came of it."""

    @property
    def complete(self) -> bool:
        """Everything that was planned has run, and the host was audited and closed after it."""
        ran = all(name in self.scenarios for name in self.planned) and all(row in self.cells for row in self.planned_rows)
        return bool(self.planned) and ran and bool(self.audit_after) and self.resources_after is not None

    @property
    def all_passed(self) -> bool:
        """Every scenario that was planned ran and passed."""
        outcomes = [run.outcome for name in self.planned if (run := self.scenarios.get(name)) is not None]
        return len(outcomes) == len(self.planned) and set(outcomes) == {Outcome.PASSED}


def make_columns(common: Session, options: CompareOptions) -> Sequence[Column]:
    """A column for each combination, with a folder of its own below the run's."""
    columns = []
    for combination in options.combinations:
        column = Column(
            options.run(combination), ColumnProgress(common.progress, combination), common.folder, common.qemu, common.image,
            common.accelerator, combination=combination,
        )  # fmt: skip
        column.place = common.place / f"{combination.store}-{combination.domain}"
        column.place.mkdir()
        columns.append(column)
    return columns
