"""Where faults are planted: guests that run already, and the build of the core that has places for defects."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from guest_tests.controls import ControlRun, Scenario, run_control
from guest_tests.member import Member
from guest_tests.planted import Fault
from guest_tests.session import Session


class Arena:
    """Runs controls one after the other and keeps what they found in the session."""

    def __init__(self, session: Session, members: Sequence[Member], core: ModuleType) -> None:
        self._session = session
        self._members = members
        self._core = core

    async def run(self, fault: Fault | None, scenarios: Sequence[Scenario]) -> ControlRun:
        """Plants `fault` (None: nothing) and runs `scenarios` until something that counts is found."""
        session = self._session
        options = session.options
        run = await run_control(
            fault, scenarios, self._members, self._core, session.place, options.seed, options.mdev_type,
            options.organisation, options.scope,
        )  # fmt: skip
        if fault is not None:
            session.controls[fault.id] = run
        return run
