"""comparison.json: written whole or not at all, read only if it does not contradict itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

import msgspec

from host_ctl.comparison import SCHEMA_VERSION, Comparison
from host_ctl.comparison_verdict import conclude
from host_ctl.results import ResultError, read_versioned


def encode(comparison: Comparison) -> bytes:
    """As JSON, indented, ending in a newline. Raises ResultError for one that contradicts itself."""
    check(comparison)
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n"


def is_comparison(raw: bytes) -> bool:
    """Whether this is meant to be a comparison, not the results of a run. False: it is not even JSON."""
    try:
        return "unfaulted" in msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return False


def decode(raw: bytes) -> Comparison:
    """Reads what encode() wrote. Raises ResultError: not JSON, another schema version, or contradictory."""
    comparison = read_versioned(raw, Comparison, SCHEMA_VERSION, "a comparison", "comparison.json of `vdsa compare`")
    check(comparison)
    return comparison


def check(comparison: Comparison) -> None:
    """Raises ResultError if parts contradict each other: a verdict that does not follow above all."""
    columns = comparison.options.combinations
    problems = (
        *_repeated("combination", columns),
        *_repeated("row", (row.id for row in comparison.rows)),
        *_repeated("cell", ((cell.row, cell.combination) for cell in comparison.cells)),
        *_not_columns(comparison),
        *_cells_without_rows(comparison),
        *_wrong_verdict(comparison),
    )
    if problems:
        raise ResultError(f"the comparison contradicts itself: {problems[0]}")


def _repeated(what: str, names: Iterable[Hashable]) -> list[str]:
    return [f"{what} {name} is there {count} times" for name, count in Counter(names).items() if count > 1]


def _not_columns(comparison: Comparison) -> list[str]:
    columns = comparison.options.combinations
    if tuple(one.combination for one in comparison.unfaulted) != columns:
        return ["the unfaulted results are not those of its columns, in their order"]
    measured = (
        *(cell.combination for cell in comparison.cells),
        *(one.combination for one in comparison.capacity),
        *(one.combination for one in comparison.costs),
        *(one.combination for one in comparison.ratios),
    )
    return [f"{name} is none of its columns" for name in measured if name not in columns]


def _cells_without_rows(comparison: Comparison) -> list[str]:
    rows = {row.id for row in comparison.rows}
    return [f"a cell belongs to row {cell.row}, which is not there" for cell in comparison.cells if cell.row not in rows]


def _wrong_verdict(comparison: Comparison) -> list[str]:
    verdict, reason = conclude(comparison)
    if (verdict, reason) == (comparison.verdict, comparison.reason):
        return []
    return [f"the verdict is {comparison.verdict}, but {verdict} follows: {reason}"]
