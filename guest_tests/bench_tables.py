"""How `make bench` prints its figures: tables that fit a terminal of 80 columns."""

from __future__ import annotations

from rich import box
from rich.table import Table


def table_of(title: str, *columns: str) -> Table:
    """A table without rows yet. Cells of the first column are never broken, those behind it are figures, mostly."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0)
    return table
