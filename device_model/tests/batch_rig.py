"""Batches as tests lay them out: a list in the memory of a guest, and where the records of it and of its members go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device_model.config import DeviceConfig
from device_model.tests.core_rig import (
    CRAV,
    NOOP,
    RAM,
    RAM_SIZE,
    RCR,
    GuestView,
    Machine,
    Record,
    descriptor,
    move,
    used,
)

BATCH, DRAIN = 0x01, 0x02
FENCE = 1 << 0
LIST = RAM + 0x1_0000
MEMBERS = RAM + 0x2_0000
"""Records of members."""
RECORD = RAM + 0x3_0000
"""The record of the Batch descriptor."""
DATA = RAM + 0x4_0000
TURN = 1 << 20
"""Bytes after which a turn ends."""
LARGE = 0x8000_0000
"""Of map_large(): memory for the moves of a whole turn, from its first half into its second."""
END = RAM + RAM_SIZE
FAILURES, LIST_FAULT, COUNT, LIST_ALIGN, OPCODE, FLAGS, RESERVED = 0x05, 0x06, 0x14, 0x18, 0x10, 0x11, 0x12
XFER_SIZE, CR_FAULT, CR_ALIGN = 0x13, 0x1A, 0x1B


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """For a module that makes none of its own: with queues that hold a batch and what waits behind it."""
    sizes = DeviceConfig(num_wqs=16, total_wq_size=256, num_ims=256)
    with Machine(tmp_path_factory.mktemp("m"), config=sizes) as machine:
        yield machine


@pytest.fixture
def guest(machine: Machine) -> Iterator[GuestView]:
    """For a module that has none of its own: of this test only."""
    yield from used(machine)


@pytest.fixture
def victim(machine: Machine) -> Iterator[GuestView]:
    """Another one."""
    yield from used(machine)


def map_large(guest: GuestView) -> GuestView:
    guest.client.dma_map(LARGE, 2 * TURN)
    return guest


def at(index: int) -> int:
    """The record of member `index`."""
    return MEMBERS + 32 * index


def noop(index: int, *, flags: int = CRAV | RCR, handle: int = 0, first_word: int = 0) -> bytes:
    return descriptor(NOOP, flags=flags, record=at(index), handle=handle, first_word=first_word)


def failing(index: int, *, flags: int = CRAV | RCR) -> bytes:
    """A Memory Move of nothing: status 0x13."""
    return move(RAM, RAM, 0, record=at(index), flags=flags)


def batch_of(
    count: int, *, source: int = LIST, flags: int = CRAV | RCR, record: int = RECORD, handle: int = 0, first_word: int = 0
) -> bytes:
    return descriptor(
        BATCH, flags=flags, record=record, source=source, size=count, handle=handle, first_word=first_word
    )


def lay(guest: GuestView, *members: bytes) -> None:
    guest.put(LIST, b"".join(members))


def run_batch(guest: GuestView, *members: bytes, flags: int = CRAV | RCR, handle: int = 0) -> Record:
    """Lays the list, runs the batch, and returns its record."""
    lay(guest, *members)
    guest.run(batch_of(len(members), flags=flags, handle=handle))
    return guest.record(RECORD)


def statuses(guest: GuestView, count: int) -> list[int]:
    """Of the members' records; 0: none was written."""
    return [guest.record(at(i)).status for i in range(count)]
