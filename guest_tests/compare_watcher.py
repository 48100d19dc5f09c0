"""pytest plugin: the scenarios once for each combination, then its cells of the containment table, in the same guests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from guest_tests.compare_columns import Column
from guest_tests.containment import Row
from guest_tests.session import Session
from guest_tests.suite import SCENARIOS, Watcher
from host_ctl.comparison_options import CompareOptions
from host_ctl.ctrl_c import CtrlC
from host_ctl.verdict import Outcome

ROW = "row"


class ColumnsWatcher(Watcher):
    """Takes down what became of each scenario, and of each cell, in its column."""

    def __init__(
        self, common: Session, ctrl_c: CtrlC, options: CompareOptions, columns: Sequence[Column], rows: Sequence[Row]
    ) -> None:
        super().__init__(common, ctrl_c)
        self._common = common
        self._options = options
        self._columns = columns
        self._rows = rows
        self._tests: dict[str, tuple[Column, str]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A column is the session of its tests: its fixtures are made anew for each, the guests below them are not."""
        if "session" in metafunc.fixturenames:
            ids = [str(column.combination) for column in self._columns]
            metafunc.parametrize("session", self._columns, indirect=True, scope="session", ids=ids)
        if ROW in metafunc.fixturenames:
            metafunc.parametrize(ROW, self._rows, ids=[row.id for row in self._rows])

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if self._is_chosen(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        chosen.sort(key=lambda item: (self._columns.index(_column(item)), _row(item) is not None))
        items[:] = chosen
        for item in chosen:
            self._plan(_column(item), item)

    def _is_chosen(self, item: pytest.Item) -> bool:
        return _row(item) is not None or not self._options.only or any(word in item.name for word in self._options.only)

    def _plan(self, column: Column, item: pytest.Item) -> None:
        row = _row(item)
        name = row.id if row is not None else _plain_name(item, column)
        (column.planned if row is None else column.planned_rows).append(name)
        self._tests[item.nodeid] = column, name

    def of(self, nodeid: str) -> tuple[Session, str]:
        return self._tests[nodeid]

    def shown(self, nodeid: str) -> str:
        column, name = self._tests[nodeid]
        cell = column.cells.get(name)
        return f"{column.combination}: {name}" + (f" ({cell.outcome.replace('_', ' ')})" if cell is not None else "")

    def word(self, session: Session, name: str, outcome: Outcome) -> str:
        """A planted fault is caught or MISSED; a guest's attack that came to an answer has passed, whatever that is."""
        cell = session.cells.get(name) if isinstance(session, Column) else None
        if cell is None or cell.outcome in ("undetermined", "not_possible"):
            return "skipped" if cell is not None and cell.outcome == "not_possible" else outcome
        group = next(row.group for row in self._rows if row.id == name)
        return outcome if group == "guest" else "caught" if cell.caught_by else "MISSED"

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        super().pytest_keyboard_interrupt(excinfo)
        self.stop()

    def pytest_internalerror(self, excrepr: object) -> None:
        super().pytest_internalerror(excrepr)
        self.stop()

    def stop(self) -> None:
        """Columns that have not been completed now never will be."""
        for column in self._columns:
            if not column.complete and column.interrupted is None:
                column.interrupted = self._common.interrupted or "it did not run to its end"


def _column(item: pytest.Item) -> Column:
    """Of a test that uses the session; the scenarios and the cells all do."""
    column: Column = item.callspec.params["session"]  # type: ignore[attr-defined]
    return column


def _row(item: pytest.Item) -> Row | None:
    row: Row | None = item.callspec.params.get(ROW)  # type: ignore[attr-defined]
    return row


def _plain_name(item: pytest.Item, column: Column) -> str:
    """As in a run of its own: without the column."""
    base, _, parameters = item.name.removesuffix("]").partition("[")
    others = [word for word in parameters.split("-") if word != str(column.combination)]
    return f"{base}[{'-'.join(others)}]" if others else base


__all__ = ["SCENARIOS", "ColumnsWatcher"]
