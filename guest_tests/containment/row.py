"""A row of the containment table: a fault, how it is provoked, and why each organisation takes it as it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from guest_tests.containment.scene import VECTORS, Scene
from guest_tests.planted import FAULTS, Fault
from guest_tests.planted.fault import Place
from host_ctl.comparison import FaultRow, Group
from host_ctl.interrupts import Organisation, Scope

Act = Callable[[Scene], Awaitable[None]]
_FAULTS = {fault.id: fault for fault in FAULTS}


@dataclass(frozen=True, slots=True)
class Row:
    """act: tries on real guests what the fault would allow. because: why it comes to what it does, by organisation or
    combination.

    mdev_vectors: what parts of a store are made for (Host). planted: instead of the fault of this id.
    """

    id: str
    title: str
    what: str
    act: Act
    because: Mapping[Place, str] = field(default_factory=dict)
    mdev_vectors: int = VECTORS
    planted: Fault | None = None

    @property
    def fault(self) -> Fault | None:
        """What is planted; None: nothing, the guest is hostile."""
        return self.planted or _FAULTS.get(self.id)

    @property
    def group(self) -> Group:
        """Whose fault it is."""
        return "guest" if self.fault is None else self.fault.group

    def why(self, organisation: Organisation, scope: Scope) -> str:
        """Why it comes to what it does in this combination."""
        return self.because.get((organisation, scope)) or self.because.get(organisation, "")

    def why_not(self, organisation: Organisation, scope: Scope) -> str:
        """Why it cannot be in this combination; empty: it can."""
        return "" if self.fault is None else self.fault.why_not(organisation, scope)

    def shown(self) -> FaultRow:
        """As in the report."""
        return FaultRow(id=self.id, group=self.group, title=self.title, what=self.what)


def everywhere(why: str, **others: str) -> dict[Place, str]:
    """`why` in all organisations but those that are named: array, table, queue, msix."""
    return {organisation: others.get(organisation.name.lower(), why) for organisation in Organisation}
