"""The array domain: who gets entries, what they hold, and that freed ones hold nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device_model.device import Device, DeviceConfig
from host_ctl.irq_domain import ArrayDomain, ImsExhausted, ImsInterrupt, NoOwnerId, Subdevice
from host_ctl.physical import PhysicalDevice

ENTRIES = 256
MASK, PASID_ENABLE = 1, 8


class RecordingChip(PhysicalDevice):
    """Remembers what was written to the entries."""

    def __init__(self, device: Device) -> None:
        self.writes: list[tuple[int, int, int]] = []
        super().__init__(device, wq_size=4)

    def ims_write(self, entry: int, register: int, value: int) -> None:
        self.writes.append((entry, register, value))
        super().ims_write(entry, register, value)


@pytest.fixture
def chip() -> Iterator[RecordingChip]:
    with Device(DeviceConfig(num_wqs=2, total_wq_size=8, num_ims=ENTRIES), run_engine=False) as device:
        yield RecordingChip(device)


@pytest.fixture
def domain(chip: RecordingChip) -> ArrayDomain:
    return ArrayDomain(chip)


def owner(pasid: int = 5) -> Subdevice:
    return Subdevice(f"mdev {pasid}", pasid)


def programmed(domain: ArrayDomain, pasid: int = 5) -> ImsInterrupt:
    interrupt = domain.allocate_block(owner(pasid), 1).parcel()
    interrupt.program(0xFEE0_1230, 0x77)
    return interrupt


def test_subdevice_without_an_id_gets_no_interrupts(domain: ArrayDomain) -> None:
    with pytest.raises(NoOwnerId, match="PASID"):
        domain.allocate_block(Subdevice("mdev 1"), 1)
    assert domain.in_use == 0


def test_entries_of_a_block_are_distinct_and_belong_to_one_block(domain: ArrayDomain) -> None:
    blocks = [domain.allocate_block(owner(pasid), 100) for pasid in (1, 2)]
    entries = [entry for block in blocks for entry in block.entries]

    assert len(set(entries)) == 200 == domain.in_use
    assert set(entries) < set(range(ENTRIES))


def test_exhaustion_is_a_typed_error_and_takes_nothing(domain: ArrayDomain) -> None:
    domain.allocate_block(owner(1), ENTRIES - 3)

    with pytest.raises(ImsExhausted, match="3 of 256 are free"):
        domain.allocate_block(owner(2), 4)
    assert domain.in_use == ENTRIES - 3
    assert len(domain.allocate_block(owner(2), 3).entries) == 3


def test_block_parcels_out_each_entry_once(domain: ArrayDomain) -> None:
    block = domain.allocate_block(owner(), 3)

    assert [block.parcel().entry for _ in range(3)] == block.entries
    with pytest.raises(ImsExhausted, match="all 3"):
        block.parcel()


def test_programmed_entry_holds_message_and_owner_and_is_open(domain: ArrayDomain, chip: RecordingChip) -> None:
    entry = programmed(domain, pasid=0xABCDE).entry

    assert [chip.ims_read(entry, register) for register in (0, 4, 8, 12)] == [
        0xFEE0_1230, 0, 0x77, 0xABCDE << 12 | PASID_ENABLE,
    ]  # fmt: skip


def test_owner_is_written_before_the_message_and_unmasked_last(domain: ArrayDomain, chip: RecordingChip) -> None:
    programmed(domain)
    controls = [(register, value) for _, register, value in chip.writes]

    assert controls[0] == (12, 5 << 12 | PASID_ENABLE | MASK)
    assert controls[-1] == (12, 5 << 12 | PASID_ENABLE)
    assert {register for register, _ in controls[1:-1]} == {0, 4, 8}


def test_disarmed_entry_is_masked_and_nobodys(domain: ArrayDomain, chip: RecordingChip) -> None:
    interrupt = programmed(domain)
    interrupt.disarm()

    assert chip.ims_read(interrupt.entry, 12) == MASK


def test_freed_entries_hold_their_reset_values(domain: ArrayDomain, chip: RecordingChip) -> None:
    block = domain.allocate_block(owner(), 4)
    for interrupt in [block.parcel() for _ in range(4)]:
        interrupt.program(0xFEE0_1230, 0x77)
    entries = list(block.entries)
    domain.free_block(block)

    assert domain.in_use == 0
    assert domain.dirty_entries() == []
    assert [chip.ims_read(entry, register) for entry in entries for register in (0, 4, 8, 12)] == [
        0xFEE0_0000,
        0,
        0,
        MASK,
    ] * 4


def test_entry_is_masked_before_its_owner_and_message_go(domain: ArrayDomain, chip: RecordingChip) -> None:
    block = domain.allocate_block(owner(), 1)
    block.parcel().program(0xFEE0_1230, 0x77)
    chip.writes.clear()
    domain.free_block(block)

    assert chip.writes[0][1:] == (12, MASK)


def test_freeing_a_block_twice_gives_nothing_back_twice(domain: ArrayDomain) -> None:
    first, second = domain.allocate_block(owner(1), 2), domain.allocate_block(owner(2), 2)
    domain.free_block(first)
    domain.free_block(first)

    assert domain.in_use == 2
    assert set(domain.allocate_block(owner(3), ENTRIES - 2).entries).isdisjoint(second.entries)


def test_entry_freed_last_is_given_out_first(domain: ArrayDomain) -> None:
    block = domain.allocate_block(owner(1), 3)
    entries = list(block.entries)
    domain.free_block(block)

    assert domain.allocate_block(owner(2), 3).entries == entries


def test_dirty_entry_is_found(domain: ArrayDomain, chip: RecordingChip) -> None:
    for entry, (register, value) in {10: (0, 0xFEE0_1000), 20: (8, 1), 30: (12, 0), 40: (12, 5 << 12 | 1)}.items():
        chip.ims_write(entry, register, value)

    assert sorted(domain.dirty_entries()) == [10, 20, 30, 40]


def test_failure_to_wipe_keeps_the_entry_out_of_use(
    domain: ArrayDomain, chip: RecordingChip, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = domain.allocate_block(owner(1), 2)
    with monkeypatch.context() as broken:
        broken.setattr(chip, "command", _refuse)
        with pytest.raises(OSError, match="broken"):
            domain.free_block(block)

    assert domain.in_use == 2
    domain.free_block(block)
    assert domain.in_use == 0


def _refuse(*_: object) -> int:
    raise OSError("broken")
