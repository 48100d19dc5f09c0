"""Words, letters and columns of the containment table, the same on paper, on the screen and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from host_ctl.comparison import Cell, Combination, Comparison, Group, Outcome
from host_ctl.comparison_verdict import BROKEN, is_miss

LETTERS: Mapping[Outcome, str] = {
    "contained": "C", "leaked": "L", "denied": "D", "harmed_own": "O", "not_possible": "-", "undetermined": "?",
}  # fmt: skip
WORDS: Mapping[Outcome, str] = {
    "contained": "contained", "leaked": "leaked", "denied": "denied", "harmed_own": "own only", "not_possible": "not here",
    "undetermined": "unknown",
}  # fmt: skip
MEANINGS: Mapping[Outcome, str] = {
    "contained": "no other VM noticed, and nobody lost anything",
    "leaked": "an interrupt or DMA of one VM, or an effect of a refused attempt, reached another",
    "denied": "another VM lost interrupts that were due to it; none went astray",
    "harmed_own": "only the VM that tried, or that the mistake was about, lost something",
    "not_possible": "the combination has nothing that this could happen to",
    "undetermined": "the probe came to no answer; it counts as the worst",
}
GROUP_TITLES: Mapping[Group, str] = {
    "guest": "What a hostile guest can try",
    "host": "Mistakes of the host software, planted one at a time",
    "hardware": "Defects of the hardware's own check, planted one at a time",
}
MISSED = "!"
"""After a letter: the suite did not notice the fault."""


class Table:
    """The containment table by row and column. A cell that is not there is None: it was not reached."""

    def __init__(self, comparison: Comparison) -> None:
        self.columns = comparison.options.combinations
        self.groups: dict[Group, list[str]] = {}
        for row in comparison.rows:
            self.groups.setdefault(row.group, []).append(row.id)
        self.rows = {row.id: row for row in comparison.rows}
        self._cells = {(cell.row, cell.combination): cell for cell in comparison.cells}

    def cell(self, row: str, column: Combination) -> Cell | None:
        """What came of it."""
        return self._cells.get((row, column))

    def missed(self, cell: Cell) -> bool:
        """A planted fault that the suite did not notice."""
        return is_miss(self.rows[cell.row].group, cell)

    def broken(self, cell: Cell) -> bool:
        """A guest harmed another VM, and neither hardware nor host was at fault."""
        return self.rows[cell.row].group == "guest" and cell.outcome in BROKEN

    def count(self, outcome: Outcome) -> int:
        """Cells with this outcome."""
        return sum(cell.outcome == outcome for cell in self._cells.values())
