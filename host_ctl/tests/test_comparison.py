"""A comparison as a file, and what it comes to: it fails closed whatever is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from host_ctl.comparison import Comparison
from host_ctl.comparison_file import decode, encode, is_comparison
from host_ctl.report.schema_doc import render_comparison_schema_doc
from host_ctl.results import ResultError
from host_ctl.tests.comparison_samples import SEVEN, comparison, unfaulted, with_cell
from host_ctl.tests.report_samples import good_result

DOCUMENT = Path(__file__).parents[2] / "docs" / "comparison-schema.md"


def edited(**changes: Any) -> bytes:
    """A good file with top-level fields replaced."""
    fields = msgspec.json.decode(encode(comparison())) | changes
    return msgspec.json.encode(fields)


def setup(**changes: Any) -> dict[str, Any]:
    """`options` of a sample, changed."""
    return {"options": msgspec.structs.replace(comparison().options, **changes)}


def without(row: str, column: str) -> dict[str, Any]:
    """The cells of a sample but one."""
    return {"cells": tuple(one for one in comparison().cells if (one.row, str(one.combination)) != (row, column))}


def columns(**changes: Any) -> dict[str, Any]:
    """The columns of a sample, the last one changed."""
    return {"unfaulted": (*map(unfaulted, SEVEN[:-1]), unfaulted(SEVEN[-1], **changes))}


def test_what_is_written_is_read_again() -> None:
    assert decode(encode(comparison())) == comparison()


def test_document_of_the_schema_is_that_of_the_structs() -> None:
    assert DOCUMENT.read_text() == render_comparison_schema_doc()


def test_comparison_and_results_of_a_run_are_told_apart() -> None:
    from host_ctl import results  # noqa: PLC0415 - two functions of one name

    assert is_comparison(encode(comparison()))
    assert not is_comparison(results.encode(good_result()))
    assert not is_comparison(b"[]")


def test_comparison_in_which_all_went_well_is_isolated() -> None:
    assert comparison().verdict == "ISOLATED"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (comparison(interrupted="Ctrl-C"), "the comparison was interrupted: Ctrl-C"),
        (comparison(**columns(verdict="NOT PROVEN", reason="a guest died")), "msix/device: a guest died"),
        (comparison(**without("forged-handle", "queue/vm")), "queue/vm, forged-handle: not tried"),
        (with_cell("slot-given-twice", "array/vm", caught_by=""), "array/vm, slot-given-twice: the suite did not notice it"),
        (with_cell("wrong-id", "table/vm", outcome="undetermined", why="a guest died"),
         "table/vm, wrong-id: not determined: a guest died"),
        (with_cell("flood", "table/vm", outcome="denied", why="guest 1 counted 3"), "table/vm, flood: guest 1 counted 3"),
        (comparison(rows=(), cells=()), "the containment table has not all of its groups"),
        (comparison(capacity=()), "array/device: capacity and cost were not measured (and 6 more)"),
        (comparison(costs=()), "array/device: capacity and cost were not measured (and 6 more)"),
        (comparison(**setup(faults=False)), "no fault was planted, on request"),
        (comparison(**setup(rows=("flood",))), "only some rows of the containment table were tried, on request"),
        (comparison(**setup(combinations=()), unfaulted=()), "nothing was compared"),
    ],
)  # fmt: skip
def test_whatever_is_missing_leaves_it_not_proven(changed: Comparison, reason: str) -> None:
    assert (changed.verdict, changed.reason) == ("NOT PROVEN", reason)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (comparison(**columns(verdict="LEAKED", reason="guest 1 saw it")), "msix/device: guest 1 saw it"),
        (with_cell("flood", "table/vm", outcome="leaked", why="guest 1 saw it"), "table/vm, flood: guest 1 saw it"),
        (comparison(interrupted="Ctrl-C", **columns(verdict="LEAKED", reason="guest 1 saw it")), "msix/device: guest 1 saw it"),
    ],
)
def test_leak_without_a_fault_is_a_leak_whatever_else_happened(changed: Comparison, reason: str) -> None:
    assert (changed.verdict, changed.reason) == ("LEAKED", reason)


def test_leak_that_a_planted_fault_brings_about_is_none_of_the_combination() -> None:
    changed = with_cell("slot-given-twice", "array/vm", outcome="leaked")

    assert changed.verdict == "ISOLATED"


def test_costs_left_out_on_request_take_nothing_from_the_verdict() -> None:
    assert comparison(**setup(costs=False), capacity=(), costs=()).verdict == "ISOLATED"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "not a comparison"),
        (b"{}", "schema version None, this vdsa reads version 1"),
        (edited(schema=2), "schema version 2, this vdsa reads version 1"),
        (edited(unheard_of=1), "damaged"),
        (edited(interrupted="Ctrl-C"), "the verdict is ISOLATED, but NOT PROVEN follows"),
        (edited(reason="because"), "but ISOLATED follows"),
        (edited(rows=[]), "belongs to row forged-handle, which is not there"),
        (edited(cells=msgspec.json.decode(encode(comparison()))["cells"] * 2), "is there 2 times"),
        (edited(unfaulted=[]), "not those of its columns"),
    ],
)
def test_damaged_or_contradictory_file_is_refused_by_name(raw: bytes, message: str) -> None:
    with pytest.raises(ResultError, match=message):
        decode(raw)
