"""What a planted fault is, and what can show that there is one."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from host_ctl.host import Host
from host_ctl.interrupts import Organisation, Scope

Place = Organisation | tuple[Organisation, Scope]
"""An organisation of the store with any domain, or one combination."""


class Finding(enum.StrEnum):
    """What can show that something is wrong."""

    LEAK = "leak"
    """The verdict's evidence holds a leak."""
    PROMISE = "promise"
    """A scenario saw its promise broken."""
    DUE = "due"
    """An interrupt that was due did not arrive, or arrived twice."""
    LEDGER = "ledger"
    """The device's ledger and the guests' counters differ, or the ledger breaks a rule of its own."""
    RESOURCES = "resources"
    """Something was not given back, or not wiped."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to plant: in the core (`core_fault`, enum planted_fault) or in the host's parts (`plant`).

    `shown_by`: the findings of which at least one must appear; any other does not count as caught. `impossible`: where nothing
    can be wrong in this way, and why not; what is planted there all the same has no effect. `misdirects`: interrupts go to others
    than those who wait for them.
    """

    id: str
    planted: str
    shown_by: frozenset[Finding]
    core_fault: int = 0
    plant: Callable[[Host], None] = lambda host: None
    impossible: Mapping[Place, str] = field(default_factory=dict)
    misdirects: bool = False

    @property
    def withholds(self) -> bool:
        """Guests may not get interrupts that are due to them: they are not waited for as long as usual."""
        return self.misdirects or Finding.DUE in self.shown_by

    @property
    def group(self) -> Literal["host", "hardware"]:
        """Whose fault it is."""
        return "hardware" if self.core_fault else "host"

    def why_not(self, organisation: Organisation, scope: Scope) -> str:
        """Why it cannot be in this combination; empty: it can."""
        return self.impossible.get((organisation, scope)) or self.impossible.get(organisation, "")
