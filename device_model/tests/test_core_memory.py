"""Memory Move over memory of every kind: mapped files, files that may shrink, messages; holes, rights, and memory that goes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from device_model.config import DeviceConfig
from device_model.tests.core_rig import CONFIG, RAM, RAM_SIZE, RECORDS, SUCCESS, Cmd, GuestView, Machine, move
from device_model.vfio_user_client import MemoryRange

PAGE = 4096
ELSEWHERE = 0x4000_0000
READ_ERROR, WRITE_ERROR = 0x20, 0x21
KINDS = [
    pytest.param({"by_fd": True, "sealed": True}, id="mapped"),
    pytest.param({"by_fd": True, "sealed": False}, id="pread"),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("m"), config=DeviceConfig(num_wqs=32, total_wq_size=512, num_ims=256)) as machine:
        yield machine


@pytest.fixture
def guest(machine: Machine) -> Iterator[GuestView]:
    guest = machine.started()
    yield guest
    guest.client.close()
    guest.mdev.close()
    machine.guests.remove(guest)


@pytest.fixture
def unshared(guest: GuestView) -> GuestView:
    """A guest whose memory is reached by messages: that of RAM, and no file was ever mapped on its connection."""
    guest.disconnect()
    guest.client = type(guest.client).connect(guest.mdev.socket, timeout=60)
    guest.memory = guest.client.dma_map(RAM, RAM_SIZE, by_fd=False).memory
    guest.client.region_write(CONFIG, 4, (6).to_bytes(2, "little"))
    return guest


class Stepping:
    """The engine in a thread of its own, while the test is the guest that answers; for one round of what is queued."""

    def __init__(self, machine: Machine) -> None:
        self.thread = threading.Thread(target=machine.step_all)

    def __enter__(self) -> threading.Thread:
        self.thread.start()
        return self.thread

    def __exit__(self, *_: object) -> None:
        self.thread.join(60)


def answer_until_done(guest: GuestView, thread: threading.Thread) -> None:
    """The guest reads a register again and again, and answers what comes meanwhile."""
    while thread.is_alive():
        guest.sync()


def in_parts(guest: GuestView, kind: dict[str, bool], *, flags: int = 3) -> list[MemoryRange]:
    """Four maps of a page each, side by side at ELSEWHERE."""
    return [guest.client.dma_map(ELSEWHERE + at * PAGE, PAGE, flags=flags, **kind) for at in range(4)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_move_crosses_maps_on_both_sides(guest: GuestView, kind: dict[str, bool]) -> None:
    parts = in_parts(guest, kind)
    data = os.urandom(3 * PAGE)
    guest.put(RAM, data)
    there = guest.status(move(RAM, ELSEWHERE + 100, len(data)))
    back = guest.status(move(ELSEWHERE + 100, RAM + 0x10000, len(data)))

    assert (there, back) == (SUCCESS, SUCCESS)
    assert b"".join(bytes(part.memory) for part in parts)[100 : 100 + len(data)] == data
    assert guest.get(RAM + 0x10000, len(data)) == data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("desc", "error"),
    [
        (move(ELSEWHERE + 8, RAM, 4 * PAGE - 8), READ_ERROR),
        (move(RAM, ELSEWHERE + 8, 4 * PAGE - 8), WRITE_ERROR),
    ],
    ids=["source", "destination"],
)
def test_a_hole_ends_a_move_and_the_record_tells_where(
    guest: GuestView, kind: dict[str, bool], desc: bytes, error: int
) -> None:
    in_parts(guest, kind)
    guest.client.dma_unmap(ELSEWHERE + 2 * PAGE, PAGE)
    status = guest.status(desc)

    assert status == error
    assert guest.record().bytes_completed == 2 * PAGE - 8
    assert guest.record().fault_address == ELSEWHERE + 2 * PAGE


@pytest.mark.parametrize("kind", KINDS)
def test_read_only_memory_is_a_source_but_no_target(guest: GuestView, kind: dict[str, bool]) -> None:
    parts = in_parts(guest, kind, flags=1)
    guest.put(RAM, b"\1" * PAGE)
    read, written = guest.status(move(ELSEWHERE, RAM, 64)), guest.status(move(RAM + 64, ELSEWHERE, 64))

    assert (read, written) == (SUCCESS, WRITE_ERROR)
    assert bytes(parts[0].memory[:64]) == bytes(64)


@pytest.mark.parametrize("target", [0xFEE0_1000, 1 << 45, (1 << 64) - 64], ids=["interrupt", "bar", "end"])
def test_what_is_no_memory_is_no_target_and_sends_nothing(guest: GuestView, target: int) -> None:
    guest.client.dma_map(0xFEE0_0000, 1 << 20, by_fd=False)
    guest.client.dma_map(1 << 45, PAGE, by_fd=False)  # a BAR of another device: no file, where RAM has one
    assert guest.status(move(RAM, target, 64)) == WRITE_ERROR

    assert guest.vectors() == []


def test_a_record_that_is_no_memory_is_an_error_in_swerror(guest: GuestView) -> None:
    guest.run(move(RAM, RAM + PAGE, 64, record=0xFEE0_1000))

    assert (guest.swerror().code, guest.vectors()) == (0x1A, [])


def test_a_file_that_was_cut_short_ends_the_move(guest: GuestView) -> None:
    part = guest.client.dma_map(ELSEWHERE, 4 * PAGE, sealed=False)
    os.ftruncate(part.fd, PAGE)
    status = guest.status(move(ELSEWHERE, RAM, 3 * PAGE))

    assert (status, guest.record().bytes_completed) == (READ_ERROR, PAGE)


def test_unmapped_memory_is_found_no_more_and_a_new_map_is(guest: GuestView) -> None:
    old = guest.client.dma_map(ELSEWHERE, PAGE)
    guest.put(RAM, b"\7" * 64)
    first = guest.status(move(RAM, ELSEWHERE, 8))
    guest.client.dma_unmap(ELSEWHERE, PAGE)
    between = guest.status(move(RAM, ELSEWHERE, 64))
    new = guest.client.dma_map(ELSEWHERE, PAGE)
    last = guest.status(move(RAM, ELSEWHERE, 16))

    assert (first, between, last) == (SUCCESS, WRITE_ERROR, SUCCESS)
    assert bytes(new.memory[:17]) == b"\7" * 16 + b"\0"
    assert old.iova == ELSEWHERE


def test_without_bus_master_nothing_moves_and_no_record_comes(guest: GuestView) -> None:
    guest.put(RAM, b"\7" * 64)
    guest.write(4, 2, 2, CONFIG)
    off = guest.status(move(RAM, RAM + PAGE, 64))
    untouched = guest.get(RAM + PAGE, 64)
    guest.write(4, 6, 2, CONFIG)
    guest.command(Cmd.RESET_DEVICE)  # it has halted
    guest.enable()
    on = guest.status(move(RAM, RAM + PAGE, 64))

    assert (off, untouched, on) == (0, bytes(64), SUCCESS)


def test_a_move_by_messages_is_answered_by_the_guest(machine: Machine, unshared: GuestView) -> None:
    data = os.urandom(200_000)
    unshared.put(RAM, data)
    unshared.submit(move(RAM, RAM + 0x40000, len(data)))
    with Stepping(machine) as thread:
        answer_until_done(unshared, thread)

    assert unshared.record().status == SUCCESS
    assert unshared.get(RAM + 0x40000, len(data)) == data


def test_bus_master_goes_off_though_a_message_is_unanswered(machine: Machine, unshared: GuestView) -> None:
    """The thread that would receive the answer waits for the engine that waits for the answer: it ends by itself."""
    unshared.client.answers_dma = False
    unshared.submit(move(RAM, RAM + PAGE, 64))
    with Stepping(machine) as thread:
        unshared.client.wait_deferred()
        unshared.write(4, 2, 2, CONFIG)
    unshared.sync()

    assert not thread.is_alive()
    assert unshared.client.deferred == []  # nothing more was asked
    assert unshared.get(RECORDS, 32) == bytes(32)


def test_a_guest_that_refuses_a_message_ends_the_move(machine: Machine, unshared: GuestView) -> None:
    unshared.submit(move(RAM, ELSEWHERE, 64), move(ELSEWHERE, RAM, 64, record=RECORDS + 32))
    unshared.client.dma_map(ELSEWHERE, PAGE, by_fd=False)
    del unshared.client.ranges[ELSEWHERE]  # mapped for the device; the client answers with an error
    with Stepping(machine) as thread:
        answer_until_done(unshared, thread)

    assert [unshared.record(RECORDS + at).status for at in (0, 32)] == [WRITE_ERROR, READ_ERROR]
