"""The defects that `make mutants` plants must go on fitting the sources they were written for."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mutants() -> ModuleType:
    sys.path.insert(0, str(ROOT / "tools"))
    return importlib.import_module("mutants")


def test_every_planted_defect_fits_the_sources_exactly_once(mutants: ModuleType) -> None:
    misfits = [sentence for defect in mutants.DEFECTS for sentence in mutants.misfits(defect, ROOT)]

    assert misfits == []


def test_defects_have_names_of_their_own_and_change_something(mutants: ModuleType) -> None:
    names = [defect.name for defect in mutants.DEFECTS]
    idle = [defect.name for defect in mutants.DEFECTS for edit in defect.edits if edit.old == edit.new]

    assert len(set(names)) == len(names)
    assert idle == []


def test_tests_that_defects_name_exist(mutants: ModuleType) -> None:
    named = {test.partition("::")[0] for defect in mutants.DEFECTS for test in defect.tests}

    assert [file for file in sorted(named) if not (ROOT / file).exists()] == []


def _report(outcome: str, held: bool | None, verdict: str = "NOT PROVEN") -> dict[str, object]:
    return {
        "verdict": verdict,
        "reason": "the reason",
        "scenarios": [{"name": "one", "outcome": outcome, "message": "what it saw"}],
        "conditions": [
            {"number": 1, "held": held, "evidence": "some"},
            {"number": 5, "held": None, "evidence": "none"},
        ],
    }


@pytest.mark.parametrize(
    ("report", "word"),
    [
        (_report("passed", True), "MISSED"),
        (_report("failed", True), "NOT PROVEN"),
        (_report("passed", False), "NOT PROVEN"),
        (_report("passed", None), "NOT PROVEN"),
        (_report("failed", False, "LEAKED"), "LEAKED"),
    ],
)
def test_run_without_controls_is_a_miss_only_if_nothing_else_is_wrong(
    mutants: ModuleType, report: dict[str, object], word: str
) -> None:
    assert mutants.judge(report, controls=False)[0] == word


def test_isolated_is_a_miss(mutants: ModuleType) -> None:
    assert mutants.judge(_report("passed", True, "ISOLATED"), controls=True)[0] == "MISSED"
