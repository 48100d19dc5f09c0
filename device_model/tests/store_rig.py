"""The physical device by itself with a message store of any organisation: owners with work queues, descriptors, the ledger.

No virtual device and no memory of virtual machines: work is No-ops without a record. Messages are read from the ledger, where no
remapping entry blocks them behind the device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from device_model.config import DeviceConfig, Organisation
from device_model.device import Device
from device_model.ledger import Kind
from device_model.tests.chip_rig import MODE, PASID_ENABLE, Chip
from device_model.tests.core_rig import NOOP, RCI, Cmd, core_under_test, descriptor, planted_fault
from device_model.tests.store_hosts import HOSTS, Owner, StoreHost

WQS = 4
SIZES: dict[Organisation, dict[str, int]] = {
    Organisation.ARRAY: {"num_ims": 256, "num_msix": 5},
    Organisation.TABLE: {"num_ims": 512, "num_msix": 5},
    Organisation.QUEUE: {"num_ims": 0, "num_msix": 5},
    Organisation.MSIX: {"num_ims": 0, "num_msix": 130},
}
DECISIONS = (Kind.GRANTED, Kind.REFUSED, Kind.FIRED, Kind.PENDED, Kind.IGNORED, Kind.VANISHED)


class Outcome(NamedTuple):
    """What the ledger says of what happened since the last look: (kind, reason, entry) in order, addresses of messages."""

    decisions: list[tuple[Kind, int, int]]
    addresses: list[int]


class StoreDevice(Device):
    """With the handle command that a virtual device gives for its guest, where CMD does not name entries."""

    def request_entry(self, entry: int) -> bool:
        """Request Interrupt Handle. False: no such entry."""
        return bool(self._call("store_request_handle", self._store, entry))


class StoreChip(Chip):
    """A chip with a store of this organisation, its queues with PASIDs of their own and enabled."""

    device: StoreDevice

    def __init__(self, organisation: Organisation, **sizes: int) -> None:
        self.organisation = organisation
        usual = SIZES[organisation] | {"num_wqs": WQS, "total_wq_size": 16 * WQS, "organisation": int(organisation)}
        super().__init__(raw=True, **(usual | sizes))
        self.owners = [Owner(wq, 0x500 + wq, 7 + wq) for wq in range(self.config.num_wqs)]
        self.host: Any = HOSTS[organisation](self, self.device)
        self.bring_up()

    def make(self, config: DeviceConfig) -> StoreDevice:
        device = StoreDevice(config, core=core_under_test(), run_engine=False)
        if planted_fault():
            device.plant_fault(planted_fault())
        return device

    def bring_up(self) -> None:
        """After power-on or a reset: interrupts on, the queues of all owners enabled."""
        self.device.set_bus_master(True)
        self.device.set_msix(True)
        self.configure(len(self.owners))
        for owner in self.owners:
            self.write(self.wq(owner.wq, 2), MODE | PASID_ENABLE | owner.pasid << 8)
        self.succeed(Cmd.ENABLE_DEVICE)
        for owner in self.owners:
            self.succeed(Cmd.ENABLE_WQ, owner.wq)

    def rewrite_queue(self, wq: int, mode: int) -> None:
        """Another mode or PASID, as the queue allows it: while it is disabled."""
        self.succeed(Cmd.DISABLE_WQ, wq // 16 << 16 | 1 << wq % 16)
        self.write(self.wq(wq, 2), MODE | mode)
        self.succeed(Cmd.ENABLE_WQ, wq)

    def submit(self, wq: int, handle: int) -> None:
        msix = self.organisation == Organisation.MSIX
        self.device.submit(wq, descriptor(NOOP, flags=RCI, handle=handle), msix=msix)

    def outcome(self) -> Outcome:
        """Since the last call."""
        records = self.ledger()
        decisions = [(Kind(r.kind), r.reason, r.entry) for r in records if r.kind in DECISIONS]
        return Outcome(decisions, [r.detail for r in records if r.kind == Kind.BLOCKED])

    def use(self, owner: Owner, handle: int) -> Outcome:
        """One descriptor of its work queue, carried out."""
        self.outcome()
        self.submit(owner.wq, handle)
        self.step_all()
        return self.outcome()

    def refusal(self, owner: Owner, handle: int) -> int:
        """Why a handle is refused; nothing else must have happened. AssertionError: it was not refused."""
        decisions, addresses = self.use(owner, handle)
        assert [decision[0] for decision in decisions] == [Kind.REFUSED], decisions
        assert addresses == []
        return decisions[0][1]


def sent(host: StoreHost, owner: Owner, n: int) -> Outcome:
    """Owner's entry n has been used, and sent its message."""
    entry = host.entry(owner, n)
    return Outcome([(Kind.GRANTED, 0, entry), (Kind.FIRED, 0, entry)], [owner.address(n)])

