"""The state machines of owners that come and go and of descriptors with any handle, for one organisation of the message store.

`Owners`: a host that does what it should. Then, besides all that core and model agree in, nothing but the entry that its owner
may use ever changes by a descriptor, and a refused one changes nothing. `Pokes`: the host writes anything, registers and memory.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from device_model.config import Organisation
from device_model.ledger import Kind
from device_model.tests.model.store import Decision, Place
from device_model.tests.model.store_queue import WATCHED, WATCHED_POINTERS
from device_model.tests.store_hosts import FEE, IGNORE, MASK, PAGE, TABLE_ENTRIES, TABLE_OBJECTS, Owner
from device_model.tests.store_lockstep import FIRST, STRIDE, WATCHED_VECTORS, WATCHED_VMS, StoreLockstep
from device_model.tests.store_rig import WQS

which = st.integers(0, WQS - 1)
numbers = st.integers(0, 3)
handles = st.sampled_from(
    [*range(6), *range(FIRST, FIRST + STRIDE * WQS), 255, 256, 257, 0x103, 511, 512, 0x7FFF, 0xFF00, 0xFFFF]
)
dwords = st.sampled_from(
    [0, 1, 2, 3, 4, 8, 9, 0xD, 16, 0x18, 0x50_0018, 0x50_1018, 0x50_100A, 257, FEE, 0x8000_0007, 0xFFFF_FFFF]
)
registers = st.sampled_from([0, 4, 8, 12])
wide = st.booleans()
extra_pages = st.sampled_from([1, 255])
_ACTED = (Kind.FIRED, Kind.PENDED, Kind.IGNORED, Kind.VANISHED)


class Owners(RuleBasedStateMachine):
    """Owner k has work queue k."""

    organisation: Organisation

    def __init__(self) -> None:
        super().__init__()
        self.both = StoreLockstep(self.organisation)
        self.host = self.both.host
        self.last: dict[Place, int] = self.both.check()

    def teardown(self) -> None:
        self.both.device.close()

    def _owner(self, index: int) -> Owner | None:
        owner = self.both.owners[index]
        return owner if owner.count else None

    def _check(self) -> None:
        self.last = self.both.check()

    # ---- the host ----

    @rule(index=which, count=st.sampled_from([1, 2, 4, 4]))
    def come(self, index: int, count: int) -> None:
        if not self._owner(index):
            self.both.attach(self.both.owners[index], count)
            for n in range(count):
                self.host.arm(self.both.owners[index], n, data=n)
            self._check()

    @rule(index=which)
    def go(self, index: int) -> None:
        owner = self._owner(index)
        if owner:
            self.host.detach(owner)
            self._check()

    @rule(index=which, n=numbers, data=dwords, more=st.sampled_from([0, 0, MASK, IGNORE, MASK | IGNORE]))
    def program(self, index: int, n: int, data: int, more: int) -> None:
        owner = self._owner(index)
        if owner:
            self.host.program(owner, n % owner.count, data=data, control=owner.control() | more)
            self._check()

    @rule(index=which, n=numbers, masked=st.booleans())
    def mask(self, index: int, n: int, masked: bool) -> None:
        owner = self._owner(index)
        if owner:
            self.host.mask(owner, n % owner.count, masked)
            self._check()

    @rule(index=which, n=numbers, good=st.booleans())
    def handle(self, index: int, n: int, good: bool) -> None:
        owner = self._owner(index)
        if owner:
            (self.host.request if good else self.host.release)(owner, n % owner.count)
            self._check()

    @rule(index=which, number=extra_pages, n=numbers)
    @precondition(lambda self: self.organisation == Organisation.QUEUE)
    def grow_or_shrink(self, index: int, number: int, n: int) -> None:
        owner = self._owner(index)
        if not owner:
            return
        if number in (owner.pages or {}):
            self.host.shrink(owner, number)
        else:
            self.host.grow(owner, number)
            self.host.arm(owner, 256 * number + n, data=n)
        self._check()

    @rule(sure=st.sampled_from([False, False, False, True]), flr=st.booleans())
    def reset(self, sure: bool, flr: bool) -> None:
        if sure:
            self.both.reset(flr=flr)
            for index in range(WQS):
                self.go(index)
            self._check()

    # ---- guests ----

    @rule(index=which, handle=handles)
    def use(self, index: int, handle: int) -> None:
        self._use(self.both.owners[index], handle)

    @rule(index=which, other=which, n=numbers, times=st.sampled_from([1, 1, 2]))
    def use_a_handle_of(self, index: int, other: int, n: int, times: int) -> None:
        owner = self._owner(other)
        for _ in range(times if owner else 0):
            self._use(self.both.owners[index], self.host.handle(owner, n % owner.count if owner else 0))

    @rule(index=which, n=numbers)
    def hold_back_and_let_go(self, index: int, n: int) -> None:
        owner = self._owner(index)
        if owner:
            self.host.mask(owner, n % owner.count, True)
            self._use(owner, self.host.handle(owner, n % owner.count))
            self.host.mask(owner, n % owner.count, False)
            self._check()

    def _use(self, owner: Owner, handle: int) -> None:
        self._check()
        before = self.last
        decisions = self.both.use_both(owner, handle)
        self.last = self.both.see()
        self._check_touched(owner, before, decisions)

    def _check_touched(self, owner: Owner, before: dict[Place, int], decisions: list[Decision]) -> None:
        """One decision, and one act of the entry that the owner has; no other bytes have changed."""
        acted = [entry for kind, _, entry in decisions if kind in _ACTED]
        assert len(acted) == (decisions[0][0] == Kind.GRANTED)
        assert set(acted) <= self._entries(owner), f"entry {acted} is not of {owner}"
        changed = {self.both.model.entry_at(place) for place, value in self.last.items() if value != before[place]}
        assert changed - {None} <= set(acted), f"entries {changed} have changed, {acted} has acted"

    def _entries(self, owner: Owner) -> set[int]:
        numbers = set(range(owner.count))
        numbers |= {256 * page + n for page in owner.pages or {} for n in range(256) if page}
        return {self.host.entry(owner, n) for n in numbers}


class Pokes(Owners):
    """A host that writes anything. Pages that owners have are not freed under it: the test's own books would be wrong."""

    def _check_touched(self, owner: Owner, before: dict[Place, int], decisions: list[Decision]) -> None:
        """Whose an entry is, is what was written: the model says it."""

    @rule(entry=st.sampled_from([0, *range(FIRST, FIRST + 8), 255]), at=registers, value=dwords, upper=dwords, wide=wide)
    @precondition(lambda self: self.organisation in (Organisation.ARRAY, Organisation.TABLE))
    def poke_entry(self, entry: int, at: int, value: int, upper: int, wide: bool) -> None:
        base = self.both.ims + (TABLE_ENTRIES if self.organisation == Organisation.TABLE else 0) + 16 * entry
        self._poke(base, at, value, upper, wide)

    @rule(vm=st.sampled_from(WATCHED_VMS), at=st.sampled_from([0, 4, 8, 8, 8, 12]), value=dwords, upper=dwords, wide=wide)
    @precondition(lambda self: self.organisation == Organisation.TABLE)
    def poke_object(self, vm: int, at: int, value: int, upper: int, wide: bool) -> None:
        self._poke(self.both.ims + TABLE_OBJECTS + 16 * vm, at, value, upper, wide)

    @rule(wq=st.integers(0, WQS), value=st.sampled_from([0, 7, *(1 << 31 | vm for vm in WATCHED_VMS), 0xFFFF_FFFF]))
    @precondition(lambda self: self.organisation == Organisation.TABLE)
    def poke_vm_id(self, wq: int, value: int) -> None:
        self._poke(self.both.ims + 4 * wq, 0, value, 0, False)

    @rule(wq=which, at=registers, value=dwords, upper=dwords, wide=wide)
    @precondition(lambda self: self.organisation == Organisation.QUEUE)
    def poke_context(self, wq: int, at: int, value: int, upper: int, wide: bool) -> None:
        self._poke(self.both.ims + 16 * wq, at, value, upper, wide)

    @rule(wq=which, page=st.integers(0, 12))
    @precondition(lambda self: self.organisation == Organisation.QUEUE)
    def poke_directory(self, wq: int, page: int) -> None:
        """Any page, or none, as the directory of any queue."""
        self.host.context(wq, PAGE * page)
        self._check()

    @rule(page=st.integers(0, 20), entry=st.sampled_from(WATCHED), at=st.sampled_from([0, 8, 8]), value=dwords, upper=dwords)
    @precondition(lambda self: self.organisation == Organisation.QUEUE)
    def poke_memory(self, page: int, entry: int, at: int, value: int, upper: int) -> None:
        self._poke_page(page, 16 * entry + at, value | upper << 32)

    @rule(page=st.integers(0, 20), pointer=st.sampled_from(WATCHED_POINTERS), to=st.integers(0, 12), valid=st.booleans())
    @precondition(lambda self: self.organisation == Organisation.QUEUE)
    def poke_pointer(self, page: int, pointer: int, to: int, valid: bool) -> None:
        self._poke_page(page, 8 * pointer, PAGE * to | valid)

    @rule(index=which, other=which, n=numbers, bits=st.sampled_from([0, 1, 0xFFE, 0xFFF]))
    @precondition(lambda self: self.organisation == Organisation.QUEUE)
    def use_by_a_pointer_to(self, index: int, other: int, n: int, bits: int) -> None:
        """The first page of another owner, or its own, by one more pointer of the directory."""
        owner, of = self._owner(index), self._owner(other)
        if owner and of and of.pages:
            self.both.device.memory_write(owner.directory + 8 * 255, of.pages[0] | bits, 8)
            self._use(owner, 0xFF00 + n % of.count)

    def _poke_page(self, page: int, offset: int, value: int) -> None:
        pages = sorted(self.both.device.queue_model().memory.pages)
        if pages:
            self.both.device.memory_write(pages[page % len(pages)] + offset, value, 8)
            self._check()

    @rule(vector=st.sampled_from(WATCHED_VECTORS), at=registers, value=dwords, upper=dwords, wide=wide)
    @precondition(lambda self: self.organisation == Organisation.MSIX)
    def poke_vector(self, vector: int, at: int, value: int, upper: int, wide: bool) -> None:
        self._poke(self.both.table + 16 * vector, at, value, upper, wide)

    @rule(vector=st.sampled_from(WATCHED_VECTORS), value=dwords)
    @precondition(lambda self: self.organisation == Organisation.MSIX)
    def poke_permissions(self, vector: int, value: int) -> None:
        self._poke(self.both.msixperm + 8 * vector, 0, value, 0, False)

    @rule(index=which, enable=st.booleans(), pasid=st.sampled_from([0x500, 0x501, 0x502, 0]))
    def change_terms(self, index: int, enable: bool, pasid: int) -> None:
        self.both.change_terms(self.both.owners[index], enable, pasid)
        self._check()

    def _poke(self, base: int, at: int, value: int, upper: int, wide: bool) -> None:
        if wide:
            self.both.write(base + at // 8 * 8, value | upper << 32, 8)
        else:
            self.both.write(base + at, value)
        self._check()


def machine(kind: type[Owners], which_organisation: Organisation) -> type[Owners]:
    """The machine for one organisation."""
    return type(f"{which_organisation.name.title()}{kind.__name__}", (kind,), {"organisation": which_organisation})


