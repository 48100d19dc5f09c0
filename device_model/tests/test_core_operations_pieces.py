"""Every operation against the reference, on memory whose pieces are of any length (c/piecewise.c), in place and copied."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_model.tests import reference_operations as ref
from device_model.tests.operation_cases import OPCODES, Case, Layout, cases
from device_model.tests.protocol_rig import ASAN, C_TESTS, MODEL, build_c

LAYOUT: Layout = (
    ((0x10000, 0xFFF, True), (0x10FFF, 0x2001, True), (0x14000, 0x803, True), (0x14803, 0x5FD, False)),
    ((0x20000, 0x1001, True), (0x21001, 0x17, True), (0x21018, 0x1FE8, True)),
    ((0x30000, 0x2C05, True), (0x32C05, 0x3FB, True)),
)


class _Region(ctypes.Structure):
    _fields_ = (
        ("start", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("bytes", ctypes.c_void_p),
        ("writable", ctypes.c_uint32),
    )


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    """With the sanitizers if this process has them."""
    core = MODEL / "core"
    names = ["operation.c", "request.c", "dif.c", *(path.name for path in sorted(core.glob("op_*.c")))]
    sanitize = ASAN if "asan" in os.environ.get("LD_PRELOAD", "") else ("-fsanitize=undefined", "-fno-sanitize-recover=all")
    flags = (*sanitize, "-shared", "-fPIC")
    return ctypes.CDLL(str(build_c("piecewise.so", [C_TESTS / "piecewise.c", *(core / name for name in names)], flags)))


def run(library: ctypes.CDLL, case: Case, pieces: tuple[int, int, bool]) -> tuple[ref.Outcome, Sequence[bytes]]:
    """What the record says, and the regions afterwards. Pieces: a random seed, the longest, in place or not."""
    buffers = [(ctypes.c_uint8 * len(r.data)).from_buffer_copy(r.data) for r in case.regions]
    regions = (_Region * len(buffers))(
        *(
            _Region(r.start, len(r.data), ctypes.addressof(buffer), r.writable)
            for r, buffer in zip(case.regions, buffers, strict=True)
        )
    )
    record = ctypes.create_string_buffer(32)
    library.piecewise_run(case.desc, regions, len(buffers), *map(ctypes.c_uint32, pieces), 21, record)
    status, result, completed, fault, tail = struct.unpack("<BB2xIQ16s", record.raw)
    return ref.Outcome(status, result, completed, fault, tail), [bytes(buffer) for buffer in buffers]


PIECES = st.tuples(st.integers(0, 1 << 31), st.sampled_from([1, 3, 20, 600, 9000]), st.booleans())


@pytest.mark.parametrize("opcode", OPCODES, ids=hex)
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data(), pieces=PIECES)
def test_operation_does_what_the_specification_says_whatever_the_pieces(
    library: ctypes.CDLL, opcode: int, data: st.DataObject, pieces: tuple[int, int, bool]
) -> None:
    case = data.draw(cases(LAYOUT, opcode))
    memory = case.memory()
    expected = ref.execute(case.desc, memory)
    outcome, after = run(library, case, pieces)

    assert outcome == expected
    assert memory.differences(after) == []
