"""Every operation against the reference, through portal, engine and sockets, in memory that a VM has mapped."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from device_model.config import DeviceConfig
from device_model.tests import reference_operations as ref
from device_model.tests.core_rig import RECORDS, GuestView, Machine
from device_model.tests.operation_cases import OPCODES, Case, Layout, cases

LAYOUT: Layout = (
    ((0x4000_0000, 0x1000, True), (0x4000_1000, 0x2000, True), (0x4000_4000, 0x2000, True), (0x4000_6000, 0x1000, False)),
    ((0x5000_0000, 0x1000, True), (0x5000_1000, 0x1000, True), (0x5000_2000, 0x3000, True)),
    ((0x6000_0000, 0x4000, True),),
)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestView]:
    with Machine(tmp_path_factory.mktemp("m"), config=DeviceConfig(num_wqs=4, total_wq_size=64, num_ims=256)) as machine:
        guest = machine.started()
        for start, size, writable in (region for island in LAYOUT for region in island):
            guest.client.dma_map(start, size, flags=3 if writable else 1)
        yield guest


def run(guest: GuestView, case: Case) -> ref.Outcome:
    """Puts the case's memory and descriptor in place, and runs it."""
    for region in case.regions:
        guest.client.ranges[region.start].memory[:] = bytes(region.data)
    desc = case.desc[:8] + struct.pack("<Q", RECORDS) + case.desc[16:]
    guest.put(RECORDS, bytes(32))
    guest.run(desc)
    status, result, completed, fault, tail = struct.unpack("<BB2xIQ16s", guest.record())
    return ref.Outcome(status, result, completed, fault, tail)


@pytest.mark.parametrize("opcode", OPCODES, ids=hex)
@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(data=st.data())
def test_operation_does_to_a_vms_memory_what_the_specification_says(
    guest: GuestView, opcode: int, data: st.DataObject
) -> None:
    case = data.draw(cases(LAYOUT, opcode))
    memory = case.memory()
    expected = ref.execute(case.desc, memory)
    # When a destination of a Dualcast is found to be missing while writing, the first may have got more bytes than are counted.
    assume((opcode, expected.status) != (ref.DUALCAST_COPY, ref.WRITE_ERROR))
    outcome = run(guest, case)
    after = [bytes(guest.client.ranges[region.start].memory) for region in case.regions]

    assert outcome == expected
    assert memory.differences(after) == []
    assert guest.vectors() == []
    assert not guest.swerror().valid
