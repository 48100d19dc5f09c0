"""Names of registers, fields and codes: as the specification has them, without gaps, for devices of any layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model import names, names_registers
from device_model.layout import BAR0, BAR2, CONFIG, Layout, Reader
from device_model.names_registers import Register
from device_model.tests.core_rig import Machine
from device_model.trace_lines import TraceRecord, access_line, descriptor


def all_registers() -> Iterator[Register]:
    for value in vars(names_registers).values():
        several = value if isinstance(value, tuple) else (value,)
        yield from (one for one in several if isinstance(one, Register))
    yield from names_registers.CONFIG.values()
    for capability in names_registers.CAPABILITIES.values():
        yield from capability.values()


REGISTERS = list({one.name + str(one.size): one for one in all_registers()}.values())


@pytest.mark.parametrize("register", REGISTERS, ids=lambda one: one.name)
def test_fields_of_a_register_do_not_overlap_and_fit_into_it(register: Register) -> None:
    masks = [field.mask for field in register.fields]

    assert sum(masks) == sum({1 << bit for mask in masks for bit in range(64) if mask >> bit & 1})
    assert all(0 <= field.low <= field.high < min(64, 8 * register.size) for field in register.fields)
    assert register.writable & ~sum(masks) == 0


@given(st.sampled_from(REGISTERS), st.integers(0, 2**64 - 1))
def test_every_value_of_every_register_has_words(register: Register, value: int) -> None:
    value &= (1 << 8 * min(8, register.size)) - 1

    assert register.describe(value) or value == 0
    assert list(register.bits(value)) or value == 0


@given(st.integers(0, 2**32 - 1))
def test_every_command_has_words(value: int) -> None:
    assert names.command(value).isprintable()


@given(st.binary(min_size=64, max_size=64))
def test_every_descriptor_has_words_on_one_line(raw: bytes) -> None:
    assert descriptor(raw).isprintable()


@given(
    st.builds(
        TraceRecord, st.just(0), st.just(0), st.integers(0, 2**64 - 1), st.just(1), st.integers(0, 2**16 - 1),
        st.integers(1, 7), st.integers(0, 255), st.binary(min_size=64, max_size=64),
    ),
    st.booleans(),
)  # fmt: skip
def test_every_record_of_a_trace_is_one_line(record: TraceRecord, known: bool) -> None:
    assert access_line(record, WIDE if known else None).isprintable()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (13 << 20 | 3, "Request Interrupt Handle index=3"),
        (14 << 20 | 1 << 16 | 3, "Release Interrupt Handle index=3 table=IMS"),
        (8 << 20 | 0x92, "Drain WQ wqs=1,4,7"),
        (8 << 20 | 0x10060, "Drain WQ wqs=21,22"),
        (11 << 20 | 0x12345, "Drain PASID pasid=74565"),
        (1 << 20 | 1 << 31, "Enable Device +int"),
        (5 << 20 | 1, "Reset Device operand=0x1"),
    ],
)
def test_command_is_named_with_its_operand(value: int, words: str) -> None:
    assert names.command(value) == words


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (0x0100_0000_0000_0000 | 0x8 << 32, "Batch RCR list=0x1000 count=7"),
        (0x0200_0000_0000_0000 | 0x10 << 32, "Drain RCI handle=0x0"),
        (0x0500_0000_0000_0000 | 1 << 32 + 23, "Compare bit23 src1=0x1000 src2=0x2000 size=7"),
        (0x7F00_0000_0000_0000, "operation 0x7f - src=0x1000 dst=0x2000 size=7"),
    ],
)
def test_fields_of_a_descriptor_have_the_names_that_its_operation_gives_them(raw: int, words: str) -> None:
    parts = (raw, 0, 0x1000, 0x2000, 7)

    assert descriptor(b"".join(part.to_bytes(8, "little") for part in parts) + bytes(24)) == words


# ---- layouts ----


def showing(values: Mapping[tuple[int, int], int]) -> Reader:
    """A device with these values at (region, offset of 4 bytes); 0 elsewhere."""

    def read(region: int, offset: int, size: int) -> int:
        word = values.get((region, offset & ~3), 0) | values.get((region, (offset & ~3) + 4), 0) << 32
        return word >> offset % 4 * 8 & (1 << 8 * size) - 1

    return read


def wide_device() -> dict[tuple[int, int], int]:
    """Sixteen queues with 64 bytes of WQCFG each, four groups, IMS, an event log; MSI-X of 33 vectors at places of its own."""
    bar0 = {
        0x00: 0x300, 0x10: 1 << 31 | 1 << 25 | 1 << 13 | 1 << 4, 0x20: 16 << 16 | 1 << 24 | 128, 0x24: 1 << 22 | 1 << 16,
        0x30: 4, 0x60: 0x0010_0008, 0x64: 0x0080_0020, 0x68: 0x0050, 0xB0: 1 << 17,
    }  # fmt: skip
    config = {0x34: 0x50, 0x50: 0x0005_6011, 0x60: 0x32_0011, 0x64: 0x3000, 0x68: 0x3800}
    config[0x50] = 0x6005
    return {(BAR0, offset): value for offset, value in bar0.items()} | {(CONFIG, o): v for o, v in config.items()}


WIDE = Layout.read(showing(wide_device()), 16 * 0x4000)


@pytest.mark.parametrize(
    ("region", "offset", "name"),
    [
        (BAR0, 0x1000 + 64 * 15 + 8, "WQCFG[15].Mode"), (BAR0, 0x1000 + 63, "WQCFG[0].OPCFG[7]"),
        (BAR0, 0x800 + 64 * 3 + 32, "GRPCFG[3].Engines"),
        (BAR0, 0x2000 + 8 * 50, "MSIXPERM[50]"), (BAR0, 0x8000 + 16 * 255 + 12, "IMS[255].Control"),
        (BAR0, 0x3000 + 16 * 50 + 12, "MSIX[50].Control"), (BAR0, 0x3800, "PBA[0]"), (BAR0, 0x5000, "PERFMON"),
        (BAR0, 0xE000, "CMDPARAM"), (BAR0, 0xE0, "EVLCFG[0]"), (BAR0, 0x180, "DSACAP0"),
        (BAR2, 15 * 0x4000 + 0x3FC0, "WQ 15's portal, limited IMS"),
        (CONFIG, 0x62, "MSIX.Control"), (CONFIG, 0x52, "Capability 0x05"),
    ],
)  # fmt: skip
def test_tables_are_where_the_device_says(region: int, offset: int, name: str) -> None:
    found = WIDE.find(region, offset)

    assert found is not None
    assert (found.name, found.present) == (name, True)


@pytest.mark.parametrize(
    "offset", [0x1000 + 64 * 16, 0x800 + 64 * 4, 0x2000 + 8 * 51, 0x8000 + 16 * 256, 0x3000 + 16 * 51, 0x3808]
)
def test_tables_end_where_the_device_says(offset: int) -> None:
    assert WIDE.find(BAR0, offset) is None


def test_bits_that_may_be_written_follow_the_capabilities(tmp_path: Path) -> None:
    wide = {first: writable for first, _, _, writable, _ in WIDE.ranges(BAR0)}
    with Machine(tmp_path) as machine:
        narrow = {first: writable for first, _, _, writable, _ in machine.plug().mdev.vdev.layout.ranges(BAR0)}

    assert (wide[0x80], narrow[0x80]) == (0x3000, 0x2000)
    assert (wide[0x1000], narrow[0x600]) == (0xFFFF, 0)
    assert (wide[0x1008], narrow[0x608]) == (0x3FFFFFF1, 0x3FFFFF01)
    assert (wide[0x820], narrow[0x420]) == (0xFFFFFFFF, 0)
    assert (0xE0 in wide, 0xE0 in narrow) == (True, True)
    assert wide[0x1020] == 0xFFFFFFFF


def test_layout_of_the_hardware_is_read_from_the_hardware(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        layout = Layout.read(lambda region, offset, size: machine.device.read(offset, size) if region == BAR0 else 0, 0)

    found = [layout.find(BAR0, offset) for offset in (0x600, 0x800 + 32 * 7, 0x10000 + 16 * 255 + 12)]
    assert [one and one.name for one in found] == ["GRPCFG[0].WQs[0]", "WQCFG[7].Size", "IMS[255].Control"]


def test_capability_list_that_runs_in_a_circle_ends() -> None:
    layout = Layout.read(showing({(CONFIG, 0x34): 0x40, (CONFIG, 0x40): 0x4011}), 0)

    assert layout.find(CONFIG, 0x42) is not None
