"""A device with a message store of any organisation, and its model: the same steps for both, all that can be seen compared."""

from __future__ import annotations

from typing import Any

from device_model.config import DeviceConfig, Organisation
from device_model.tests.chip_rig import PASID_ENABLE
from device_model.tests.core_rig import CMD, core_under_test, planted_fault
from device_model.tests.model.store import ArrayStore, Decision, Place, Store, Terms
from device_model.tests.model.store_msix import MsixStore
from device_model.tests.model.store_queue import QueueStore
from device_model.tests.model.store_table import TableStore
from device_model.tests.store_hosts import Owner
from device_model.tests.store_rig import WQS, StoreChip, StoreDevice

FIRST, STRIDE = 8, 8
"""Owner k's entries begin at FIRST + STRIDE * k."""
WATCHED = (0, *range(FIRST, FIRST + STRIDE * WQS + 4), 255)
WATCHED_VECTORS = (*range(FIRST + STRIDE * WQS + 4), 129)
WATCHED_VMS = (0, 7, 8, 9, 10, 4095)
_IN_IMS = 1 << 16


class MirroredDevice(StoreDevice):
    """What is done to it is done to `model` as well, once there is one."""

    model: Store | None = None

    def write(self, offset: int, value: int, size: int = 4) -> None:
        super().write(offset, value, size)
        if self.model is None:
            return
        if offset == CMD:
            self._command(self.model, value >> 20 & 0x1F, value & 0xFFFFF)
        elif size in (4, 8) and offset % size == 0:
            self.model.write(offset, size, value)

    @staticmethod
    def _command(model: Store, code: int, operand: int) -> None:
        """Those that concern the store; only its own host gives them, and right."""
        if code == 5:
            model.reset()
        elif code in (13, 14) and bool(operand & _IN_IMS) == isinstance(model, ArrayStore):
            entry = operand & 0xFFFF
            model.request(entry) if code == 13 else model.release(entry)

    def flr(self) -> None:
        super().flr()
        assert self.model is not None
        self.model.flr()

    def set_msix(self, enabled: bool, *, function_mask: bool = False) -> None:
        super().set_msix(enabled, function_mask=function_mask)
        if isinstance(self.model, MsixStore):
            self.model.switch_on()

    def release_entry(self, entry: int) -> None:
        super().release_entry(entry)
        assert self.model is not None
        self.model.release(entry)

    def request_entry(self, entry: int) -> bool:
        assert self.model is not None
        self.model.request(entry)
        return super().request_entry(entry)

    def queue_model(self) -> QueueStore:
        assert isinstance(self.model, QueueStore)
        return self.model

    def memory_page(self) -> int:
        address = super().memory_page()
        expected = self.queue_model().memory.page()
        assert address == expected, f"page {address:#x} was given, {expected:#x} was due"
        return address

    def memory_free(self, address: int) -> None:
        super().memory_free(address)
        self.queue_model().memory.free(address)

    def memory_write(self, address: int, value: int, size: int = 4) -> None:
        super().memory_write(address, value, size)
        self.queue_model().memory.write(address, value, size)

    def memory_update(self, address: int, clear: int, set_: int) -> int:
        self.queue_model().memory.update(address, clear, set_)
        return super().memory_update(address, clear, set_)


class StoreLockstep(StoreChip):
    """close() when done."""

    device: MirroredDevice

    def __init__(self, organisation: Organisation) -> None:
        super().__init__(organisation)
        self.terms = [Terms(owner.wq, True, owner.pasid) for owner in self.owners]
        self.model = self._make_model()
        self.device.model = self.model
        self.outcome()

    def make(self, config: DeviceConfig) -> MirroredDevice:
        device = MirroredDevice(config, core=core_under_test(), ledger_capacity=1024, run_engine=False)
        if planted_fault():
            device.plant_fault(planted_fault())
        return device

    def _make_model(self) -> Store:
        if self.organisation == Organisation.ARRAY:
            return ArrayStore(self.ims, watched=WATCHED)
        if self.organisation == Organisation.TABLE:
            return TableStore(self.ims, count=512, watched=(*WATCHED, 511), watched_vms=WATCHED_VMS)
        if self.organisation == Organisation.QUEUE:
            return QueueStore(self.ims)
        table, pba = self.device.msix_table, self.device.msix_pba
        return MsixStore(table, pba=pba, permissions_at=self.msixperm, watched=WATCHED_VECTORS, on=True)

    # ---- steps ----

    def attach(self, owner: Owner, count: int) -> None:
        self.host.attach(owner, FIRST + STRIDE * owner.wq, count)

    def use_both(self, owner: Owner, handle: int) -> list[Decision]:
        """A descriptor, carried out in both; what was decided."""
        self.submit(owner.wq, handle)
        self.step_all()
        self.model.use(self.terms[owner.wq], handle)
        decisions = list(self.model.decisions)
        self.check()
        return decisions

    def change_terms(self, owner: Owner, pasid_enable: bool, pasid: int) -> None:
        self.rewrite_queue(owner.wq, (PASID_ENABLE if pasid_enable else 0) | pasid << 8)
        self.terms[owner.wq] = Terms(owner.wq, pasid_enable, pasid)

    def reset(self, *, flr: bool) -> None:
        if flr:
            self.device.flr()
        else:
            self.succeed(5)
        self.check()
        self.bring_up()
        self.terms = [Terms(owner.wq, True, owner.pasid) for owner in self.owners]

    # ---- comparison ----

    def see(self) -> dict[Place, int]:
        """What the device shows at the places that its model tells of."""
        read: dict[str, Any] = {"bar": self.read, "memory": self.device.memory_read}
        return {place: read[place[0]](place[1], 8) for place in self.model.watch()}

    def check(self) -> dict[Place, int]:
        """Decisions, messages, and all that is to be seen; AssertionError: they differ."""
        happened = self.outcome()
        due = self.model.take()
        assert (happened.decisions, happened.addresses) == due, f"{happened} happened, {due} were due"
        seen, expected = self.see(), self.model.watch()
        assert seen == expected, "; ".join(
            f"{where} {at:#x} is {value:#x}, not {expected[where, at]:#x}"
            for (where, at), value in seen.items()
            if value != expected[where, at]
        )
        return seen


