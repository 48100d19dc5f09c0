"""A comparison as JUnit XML: a suite for the columns, one for the cells, one for the verdict."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from host_ctl.comparison import Comparison
from host_ctl.report.comparison_words import Table
from host_ctl.report.junit import document, mark, new_case, new_suite, nothing_ran


def render_comparison_junit(comparison: Comparison) -> bytes:
    """What the verdict holds against a column or a cell is a failure, what did not run an error: nothing is green by absence."""
    return document([_columns(comparison), _cells(comparison), _verdict(comparison)], comparison.started)


def _columns(comparison: Comparison) -> ET.Element:
    suite = new_suite("combinations")
    for one in comparison.unfaulted:
        made = new_case(suite, str(one.combination), one.seconds)
        if one.verdict != "ISOLATED":
            mark(made, "failure", "\n".join([f"{one.verdict}: {one.reason}", *one.failed]))
    if not comparison.unfaulted:
        nothing_ran(suite, "nothing was compared")
    return suite


def _cells(comparison: Comparison) -> ET.Element:
    suite = new_suite("containment")
    table = Table(comparison)
    for name in table.rows:
        for column in table.columns:
            cell = table.cell(name, column)
            made = new_case(suite, f"{name}[{column}]", cell.seconds if cell else 0.0)
            if cell is None:
                mark(made, "error", "not run")
            elif cell.outcome == "undetermined":
                mark(made, "error", cell.why)
            elif table.missed(cell):
                mark(made, "failure", f"the suite did not notice it: {cell.why}")
            elif table.broken(cell):
                mark(made, "failure", cell.why)
    if not table.rows:
        nothing_ran(suite, "no fault was planted")
    return suite


def _verdict(comparison: Comparison) -> ET.Element:
    suite = new_suite("verdict")
    made = new_case(suite, "All combinations are ISOLATED", (comparison.finished - comparison.started).total_seconds())
    if comparison.verdict != "ISOLATED":
        mark(made, "failure", f"{comparison.verdict}: {comparison.reason}")
    return suite
