"""Turns of several descriptors, as running engines take them: what comes of them is what comes of one at a time (3.2, 4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_model.config import DeviceConfig
from device_model.ledger import Kind, LedgerRecord
from device_model.tests.batch_rig import LIST, at, batch_of, failing, noop
from device_model.tests.core_rig import CRAV, RAM, RAM_SIZE, RCI, RCR, SUCCESS, Machine, move

QUEUE = 16
PLACES = [RAM + 0x5_0000 + offset for offset in (0, 64, 100, 0x300)]
"""Of data: moves overlap as they like."""
FULL = CRAV | RCR | RCI


class Host(Machine):
    """A machine with two guests that does all that is queued, in steps or in turns."""

    def __init__(self, folder: Path, *, turns: bool) -> None:
        super().__init__(folder, config=DeviceConfig(num_wqs=4, total_wq_size=4 * QUEUE, num_ims=256), wq_size=QUEUE)
        self.advance = self.device.turn if turns else self.device.step
        for _ in range(2):
            guest = self.started()
            guest.put(LIST, b"".join(noop(index) for index in (20, 21)))
        self.ledger()

    def run(self, submissions: list[tuple[int, bytes]]) -> tuple[object, ...]:
        """What came of them: the ledger but for times, both guests' memory, interrupts and SWERROR."""
        for number, desc in submissions:
            self.guests[number].submit(desc)
        while self.advance():
            pass
        records = [_without_times(record) for record in self.ledger()]
        seen = [(bytes(guest.memory), guest.vectors(), guest.swerror().words) for guest in self.guests]
        for guest in self.guests:
            guest.write(0xC0, 3, 8)  # valid and overflow are cleared
        return records, seen


def _without_times(record: LedgerRecord) -> LedgerRecord:
    return record._replace(time_ns=0, detail=0 if record.kind == Kind.FIRED else record.detail)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Host]]:
    folders = [tmp_path_factory.mktemp("m") for _ in range(2)]
    with Host(folders[0], turns=False) as stepped, Host(folders[1], turns=True) as turned:
        yield stepped, turned


def descriptors(index: int, handles: list[int]) -> st.SearchStrategy[bytes]:
    """Of a guest: mostly right ones, with interrupts and without, but not only."""
    return st.one_of(
        st.builds(lambda a, b, size: move(a, b, size, record=at(index)), *[st.sampled_from(PLACES)] * 2, st.integers(1, 200)),
        st.sampled_from(handles).map(lambda handle: noop(index, flags=FULL, handle=handle)),
        st.sampled_from([0, CRAV, CRAV | RCR]).map(lambda flags: noop(index if flags else 0, flags=flags)),
        st.just(failing(index)),
        st.just(batch_of(2, record=at(index))),
        st.just(noop(index, flags=CRAV | RCR | 1 << 22)),
        st.just(move(RAM, RAM + RAM_SIZE - 8, 64, record=at(index))),
        st.just(noop(0, flags=0, first_word=1)),
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_turns_do_what_single_steps_do_in_the_same_order(hosts: tuple[Host, Host], data: st.DataObject) -> None:
    stepped, turned = hosts
    handles = [*stepped.guests[0].mdev.handles, stepped.guests[1].handle]
    owners = st.sampled_from([0, 0, 0, 1])
    drawn = [
        (data.draw(owners), data.draw(descriptors(index, handles))) for index in range(data.draw(st.integers(1, QUEUE)))
    ]

    by_steps, by_turns = stepped.run(drawn), turned.run(drawn)

    assert by_turns == by_steps


def test_completion_interrupt_comes_after_all_records_before_it(hosts: tuple[Host, Host]) -> None:
    """Of one turn: when the message is sent, the ledger has what ended before."""
    guest = hosts[1].guests[0]
    plain = [noop(index) for index in range(3)]

    guest.submit(*plain, noop(3, flags=FULL, handle=guest.handle), noop(4))
    worked = hosts[1].device.turn(), hosts[1].device.turn()
    kinds = [record.kind for record in hosts[1].ledger() if record.kind != Kind.ACCEPTED]

    assert worked == (True, False)
    assert guest.vectors() == [1]
    assert kinds[:4] == [Kind.COMPLETED] * 3 + [Kind.GRANTED]
    assert kinds[-1] == Kind.COMPLETED


def test_guest_that_leaves_in_the_midst_of_its_queue_leaves_nothing_behind(tmp_path: Path) -> None:
    with Host(tmp_path, turns=True) as host:
        leaver, stayer = host.guests
        leaver.submit(*(noop(index, flags=FULL, handle=leaver.handle) for index in range(QUEUE)))
        stayer.submit(noop(0, flags=FULL, handle=stayer.handle))
        host.device.turn()
        leaver.vectors()
        leaver.mdev.close()
        before = bytes(leaver.memory)
        while host.advance():
            pass

        assert bytes(leaver.memory) == before
        assert leaver.client.interrupts == []
        assert stayer.vectors() == [1]
        assert stayer.record(at(0)).status == SUCCESS
