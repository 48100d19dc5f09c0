"""The documents name tests for what they promise: each of them exists, and each attack and fault case has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("cases.md", "promises.md", "threat-model.md")
PLACES = ("device_model", "host_ctl", "guest_tests", "qemu_patches")
CASES = 45
_NAMED = re.compile(r"`(test_\w+)`")
_NAMED_IN_C = re.compile(r"`(test_\w+\.c):(\w+)`")
_OUT_OF_REACH = "out of reach: "


def _python_tests() -> frozenset[str]:
    files = (path for place in PLACES for name in ("test_*.py", "linux_*.py") for path in (ROOT / place).rglob(name))
    sources = (path.read_text() for path in files)
    return frozenset(name for source in sources for name in re.findall(r"^\s*(?:async )?def (test_\w+)", source, re.M))


def _rows() -> dict[int, tuple[str, str]]:
    """Case -> its cells of tests: without a guest, and by a guest."""
    lines = (ROOT / "docs" / "cases.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \d+ \|", line)]
    return {int(number): (lowest, agent) for number, _, _, lowest, agent in cells}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_test_that_a_document_names_exists(document: str) -> None:
    named = set(_NAMED.findall((ROOT / "docs" / document).read_text()))

    assert named
    assert named - _python_tests() == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_c_test_that_a_document_names_exists(document: str) -> None:
    named = _NAMED_IN_C.findall((ROOT / "docs" / document).read_text())
    sources = {path.name: path.read_text() for path in (ROOT / "device_model" / "tests" / "c").glob("*.c")}

    assert named
    assert [(file, name) for file, name in named if f"{name}(" not in sources.get(file, "")] == []


def test_every_case_has_a_test_and_one_by_a_guest_or_the_reason_why_not() -> None:
    rows = _rows()

    assert list(rows) == list(range(1, CASES + 1))
    assert [number for number, (lowest, _) in rows.items() if not _NAMED.search(lowest)] == []
    assert [n for n, (_, agent) in rows.items() if not (_NAMED.search(agent) or agent.startswith(_OUT_OF_REACH))] == []
