"""What a handle is good for in each organisation of the message store: for its owner's entry, and for nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from device_model.config import Organisation
from device_model.ledger import Kind, Refusal
from device_model.tests.chip_rig import PASID_ENABLE
from device_model.tests.core_rig import Cmd
from device_model.tests.store_hosts import IGNORE, MASK, Owner
from device_model.tests.store_rig import StoreChip, sent

ARRAY, TABLE, QUEUE, MSIX = Organisation


def name(organisation: Organisation) -> str:
    return organisation.name.lower()


with_pasids = pytest.mark.parametrize("chip", (ARRAY, QUEUE, MSIX), ids=name, indirect=True)
"""Those with the owner's PASID in or beside each entry."""


@pytest.fixture(params=Organisation, ids=name)
def chip(request: pytest.FixtureRequest) -> Iterator[StoreChip]:
    with StoreChip(request.param) as chip:
        for owner, first, count in ((chip.owners[0], 8, 4), (chip.owners[1], 40, 8)):
            chip.host.attach(owner, first, count)
            for n in range(count):
                chip.host.arm(owner, n, data=n)
        chip.outcome()
        yield chip


@pytest.fixture
def own(chip: StoreChip) -> Owner:
    return chip.owners[0]


@pytest.fixture
def other(chip: StoreChip) -> Owner:
    return chip.owners[1]


def entries(chip: StoreChip, *owners: Owner) -> list[tuple[int, int, int]]:
    return [chip.host.words(chip.host.entry(owner, n)) for owner in owners for n in range(owner.count)]


def test_own_handle_fires_once_at_its_entry(chip: StoreChip, own: Owner, other: Owner) -> None:
    for owner in (own, other):
        for n in range(owner.count):
            assert chip.use(owner, chip.host.handle(owner, n)) == sent(chip.host, owner, n)


def test_of_all_65536_handles_an_owner_has_exactly_its_own(chip: StoreChip, own: Owner, other: Owner) -> None:
    before = entries(chip, own, other)
    records = []
    for handle in range(0x10000):
        chip.submit(own.wq, handle)
        chip.step()
        if handle % 1024 == 1023:
            chip.step_all()
            records += chip.ledger(Kind.FIRED, Kind.PENDED, Kind.IGNORED, Kind.REFUSED)

    assert Counter(record.kind for record in records) == {Kind.FIRED: 4, Kind.REFUSED: 0x10000 - 4}
    fired = [(record.handle, record.entry) for record in records if record.kind == Kind.FIRED]
    assert fired == [(chip.host.handle(own, n), chip.host.entry(own, n)) for n in range(4)]
    assert entries(chip, own, other) == before


FOREIGN = {ARRAY: Refusal.PASID, TABLE: Refusal.OUT_OF_RANGE, QUEUE: Refusal.NOT_REQUESTED, MSIX: Refusal.PASID}
"""Handle of another: its entry's PASID; or the handle means the caller's own entry of that number, which is not there."""
NOWHERE = {ARRAY: Refusal.PASID, TABLE: Refusal.NO_STORAGE, QUEUE: Refusal.NO_STORAGE, MSIX: Refusal.PASID}
"""Handle of another, said by one who has nothing: array and msix lead everybody to all entries."""
OUTSIDE = {ARRAY: Refusal.OUT_OF_RANGE, TABLE: Refusal.OUT_OF_RANGE, QUEUE: Refusal.NO_STORAGE, MSIX: Refusal.OUT_OF_RANGE}


def test_handle_of_another_is_refused_and_changes_nothing(chip: StoreChip, own: Owner, other: Owner) -> None:
    chip.host.mask(other, 6, True)
    before = entries(chip, own, other)

    assert chip.refusal(own, chip.host.handle(other, 6)) == FOREIGN[chip.organisation]
    assert entries(chip, own, other) == before


@pytest.mark.parametrize("handle", [512, 0x7FFF, 0x8000, 0xFFFF])
def test_handle_beyond_everything_is_refused(chip: StoreChip, own: Owner, handle: int) -> None:
    assert chip.refusal(own, handle) == OUTSIDE[chip.organisation]


def test_owner_that_leads_nowhere_has_no_handle(chip: StoreChip, own: Owner) -> None:
    assert chip.refusal(chip.owners[2], chip.host.handle(own, 0)) == NOWHERE[chip.organisation]


def test_handle_is_refused_before_it_is_requested_and_after_it_is_released(chip: StoreChip, own: Owner) -> None:
    handle = chip.host.handle(own, 1)
    chip.host.release(own, 1)
    released = chip.refusal(own, handle)
    chip.host.request(own, 1)

    assert released == Refusal.NOT_REQUESTED
    assert chip.use(own, handle) == sent(chip.host, own, 1)


def test_handle_never_requested_is_refused(chip: StoreChip) -> None:
    late = chip.owners[2]
    chip.host.attach(late, 100, 2)
    chip.host.program(late, 0)

    assert chip.refusal(late, chip.host.handle(late, 0)) == Refusal.NOT_REQUESTED


@with_pasids
@pytest.mark.parametrize("bit", [0, 7, 19])
def test_pasid_of_the_entry_that_differs_in_one_bit_is_refused(chip: StoreChip, own: Owner, bit: int) -> None:
    chip.host.program(own, 1, control=own.control() ^ 1 << 12 + bit)
    chip.host.request(own, 1)

    assert chip.refusal(own, chip.host.handle(own, 1)) == Refusal.PASID


@with_pasids
def test_entry_without_pasid_enable_is_refused_to_a_queue_with_it(chip: StoreChip, own: Owner) -> None:
    chip.host.program(own, 1, control=own.pasid << 12)
    chip.host.request(own, 1)

    assert chip.refusal(own, chip.host.handle(own, 1)) == Refusal.PASID_ENABLE


@with_pasids
@pytest.mark.parametrize(
    ("mode", "reason"),
    [(0x500 << 8, Refusal.PASID_ENABLE), (PASID_ENABLE | 0x777 << 8, Refusal.PASID)],
    ids=["without_pasid", "other_pasid"],
)
def test_queue_that_has_lost_its_pasid_is_refused_at_its_former_entries(
    chip: StoreChip, own: Owner, mode: int, reason: Refusal
) -> None:
    chip.rewrite_queue(own.wq, mode)

    assert chip.refusal(own, chip.host.handle(own, 1)) == reason


@pytest.mark.parametrize("chip", [TABLE], ids=name, indirect=True)
@pytest.mark.parametrize("mode", [0x500 << 8, PASID_ENABLE | 0x777 << 8], ids=["without_pasid", "other_pasid"])
def test_table_looks_at_no_pasid(chip: StoreChip, own: Owner, mode: int) -> None:
    chip.rewrite_queue(own.wq, mode)

    assert chip.use(own, chip.host.handle(own, 1)) == sent(chip.host, own, 1)


def test_masked_entry_keeps_one_interrupt_and_sends_it_when_it_is_unmasked(chip: StoreChip, own: Owner) -> None:
    handle, entry = chip.host.handle(own, 1), chip.host.entry(own, 1)
    chip.host.mask(own, 1, True)
    held = [chip.use(own, handle) for _ in range(2)]
    pending = chip.host.pending(own, 1)
    chip.host.mask(own, 1, False)
    unmasked = chip.outcome()
    chip.host.mask(own, 1, False)

    assert held == [([(Kind.GRANTED, 0, entry), (Kind.PENDED, 0, entry)], [])] * 2
    assert (pending, chip.host.pending(own, 1)) == (True, False)
    assert unmasked == ([(Kind.FIRED, 0, entry)], [own.address(1)])
    assert chip.outcome() == ([], [])


def test_refused_use_of_a_masked_entry_leaves_nothing_pending(chip: StoreChip, own: Owner, other: Owner) -> None:
    chip.host.mask(own, 1, True)
    chip.host.release(own, 1)
    chip.refusal(own, chip.host.handle(own, 1))
    chip.use(other, chip.host.handle(own, 1))
    chip.host.request(own, 1)
    chip.host.mask(own, 1, False)

    assert chip.outcome() == ([], [])


def test_released_handle_takes_what_was_pending_with_it(chip: StoreChip, own: Owner) -> None:
    chip.host.mask(own, 1, True)
    chip.use(own, chip.host.handle(own, 1))
    chip.host.release(own, 1)
    pending = chip.host.pending(own, 1)
    chip.host.mask(own, 1, False)

    assert not pending
    assert chip.outcome() == ([], [])


def test_ignored_interrupt_is_dropped_also_when_masked(chip: StoreChip, own: Owner) -> None:
    chip.host.program(own, 1, control=own.control() | IGNORE | MASK)
    chip.host.request(own, 1)
    ignored = chip.use(own, chip.host.handle(own, 1)).decisions[-1]
    chip.host.mask(own, 1, False)

    assert ignored == (Kind.IGNORED, 0, chip.host.entry(own, 1))
    assert chip.outcome() == ([], [])


def test_entry_of_an_owner_that_has_gone_serves_its_next_only(chip: StoreChip, own: Owner, other: Owner) -> None:
    """Entries, VM object and pages are used again, and nothing of before is left in them."""
    handle, entry, heir = chip.host.handle(own, 1), chip.host.entry(own, 1), chip.owners[3]
    chip.host.detach(own)
    chip.host.attach(heir, 8, 4)
    chip.host.arm(heir, 1, data=9)

    assert chip.host.entry(heir, 1) == entry
    assert chip.refusal(own, handle) == NOWHERE[chip.organisation]
    assert chip.refusal(heir, chip.host.handle(heir, 0)) == Refusal.NOT_REQUESTED
    assert chip.use(heir, chip.host.handle(heir, 1)) == sent(chip.host, heir, 1)
    assert chip.use(other, chip.host.handle(other, 1)) == sent(chip.host, other, 1)


WIPED = {ARRAY: Refusal.NOT_REQUESTED, TABLE: Refusal.NO_STORAGE, QUEUE: Refusal.NO_STORAGE, MSIX: Refusal.NOT_REQUESTED}


RESETS: dict[str, Callable[[StoreChip], None]] = {
    "flr": lambda chip: chip.device.flr(),
    "reset_device": lambda chip: chip.succeed(Cmd.RESET_DEVICE),
}


@pytest.mark.parametrize("reset", RESETS)
def test_reset_takes_all_handles_and_what_leads_to_them(chip: StoreChip, own: Owner, reset: str) -> None:
    chip.host.mask(own, 1, True)
    chip.use(own, chip.host.handle(own, 1))
    memory = chip.device.memory_pages
    RESETS[reset](chip)
    quiet = chip.outcome()
    chip.bring_up()

    assert quiet == ([], [])
    assert chip.refusal(own, chip.host.handle(own, 1)) == WIPED[chip.organisation]
    assert chip.device.memory_pages == memory


@pytest.mark.parametrize("chip", [ARRAY, TABLE, MSIX], ids=name, indirect=True)
@pytest.mark.parametrize("reset", RESETS)
def test_reset_leaves_nothing_pending_in_the_device(chip: StoreChip, own: Owner, reset: str) -> None:
    chip.host.mask(own, 1, True)
    chip.use(own, chip.host.handle(own, 1))
    RESETS[reset](chip)
    chip.bring_up()
    chip.host.mask(own, 1, False)

    assert not chip.host.pending(own, 1)
    assert chip.outcome() == ([], [])


CONTROLS = {ARRAY: 0xFFFF_F00D, TABLE: 0x5, MSIX: 0xFFFF_F00D}


@pytest.mark.parametrize("chip", CONTROLS, ids=name, indirect=True)
def test_pending_bit_and_reserved_bits_are_not_the_hosts_to_write(chip: StoreChip, own: Owner) -> None:
    chip.host.program(own, 1, control=0xFFFF_FFFF)

    assert chip.host.words(chip.host.entry(own, 1))[2] == CONTROLS[chip.organisation]
