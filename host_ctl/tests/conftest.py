"""Fixtures of the tests of interrupt domains."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from host_ctl.interrupts import COMBINATIONS
from host_ctl.tests.interrupt_rig import Rig, name_of, open_rig


@pytest.fixture(params=COMBINATIONS, ids=name_of)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A rig of each combination that makes sense, or of those that each_of() names."""
    with open_rig(*request.param) as opened:
        yield opened
