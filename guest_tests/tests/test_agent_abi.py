"""The Python mirror of the agent's shared block is the block."""

import ctypes
import inspect
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from guest_tests import agent_abi, agent_items, agent_numbers
from guest_tests.agent_build import AgentImage

pytest_plugins = ["host_ctl.tests.qemu_fixtures", "guest_tests.tests.agent_guests"]

# Mirror class -> enumeration, and the prefix of its names in C.
_ENUMS = {
    "Limit": ("agent_limit", "AGENT_"),
    "Vector": ("agent_vector", "AGENT_VECTOR_"),
    "Event": ("agent_event", "AGENT_EVENT_"),
    "Stage": ("agent_stage", "AGENT_STAGE_"),
    "ConfigFlag": ("agent_config_flag", "AGENT_CONFIG_"),
    "Op": ("agent_op", "AGENT_OP_"),
    "Result": ("agent_result", "AGENT_RESULT_"),
    "Step": ("agent_step", "AGENT_STEP_"),
    "Fault": ("agent_fault", "AGENT_FAULT_"),
    "SlotState": ("agent_slot_state", "AGENT_SLOT_"),
    "SlotError": ("agent_slot_error", "AGENT_SLOT_ERROR_"),
    "ItemFlag": ("agent_item_flag", "AGENT_ITEM_"),
    "ItemResult": ("agent_item_result", "AGENT_ITEM_"),
}
_STRUCTURES = [
    one
    for _, one in inspect.getmembers(agent_abi, inspect.isclass)
    if issubclass(one, ctypes.Structure) and one.__module__ == agent_abi.__name__
]


class DebugInfo:
    """Structures and enumerations of the agent, as its DWARF has them."""

    def __init__(self, elf: Path) -> None:
        self.structures: dict[str, dict[str, int]] = {}
        self.sizes: dict[str, int] = {}
        self.enums: dict[str, dict[str, int]] = {}
        with elf.open("rb") as stream:
            for unit in ELFFile(stream).get_dwarf_info().iter_CUs():
                for die in unit.iter_DIEs():
                    self._take(die)

    def _take(self, die: Any) -> None:
        if "DW_AT_name" not in die.attributes or "DW_AT_byte_size" not in die.attributes:
            return
        name = die.attributes["DW_AT_name"].value.decode()
        if die.tag == "DW_TAG_structure_type":
            self.sizes[name] = die.attributes["DW_AT_byte_size"].value
            self.structures[name] = _values(die, "DW_AT_data_member_location")
        elif die.tag == "DW_TAG_enumeration_type":
            self.enums[name] = _values(die, "DW_AT_const_value")


def _values(die: Any, attribute: str) -> dict[str, int]:
    return {
        child.attributes["DW_AT_name"].value.decode(): child.attributes[attribute].value
        for child in die.iter_children()
    }


def camel_to_snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


@pytest.fixture(scope="module")
def debug(agent_image: AgentImage) -> DebugInfo:
    return DebugInfo(agent_image.elf)


@pytest.mark.parametrize("mirror", _STRUCTURES, ids=lambda one: one.__name__)
def test_structure_is_the_agents(debug: DebugInfo, mirror: type[ctypes.Structure]) -> None:
    name = camel_to_snake(mirror.__name__)
    offsets = {field[0]: agent_abi.offset_of(mirror, field[0]) for field in mirror._fields_}
    assert debug.structures[name] == offsets
    assert debug.sizes[name] == ctypes.sizeof(mirror)


@pytest.mark.parametrize("mirror", _STRUCTURES, ids=lambda one: one.__name__)
def test_annotations_of_a_structure_are_its_fields(mirror: type[ctypes.Structure]) -> None:
    assert set(mirror.__annotations__) <= {field[0] for field in mirror._fields_}


@pytest.mark.parametrize("mirror", sorted(_ENUMS))
def test_numbers_are_the_agents(debug: DebugInfo, mirror: str) -> None:
    name, prefix = _ENUMS[mirror]
    kind: type[IntEnum] | type[IntFlag] = getattr(agent_numbers, mirror)
    unset = {"NONE"} if issubclass(kind, IntFlag) else set()
    mirrored = {f"{prefix}{key}": member.value for key, member in kind.__members__.items() if key not in unset}
    assert debug.enums[name] == mirrored


def test_every_enumeration_of_the_agent_has_a_mirror(debug: DebugInfo) -> None:
    assert {name for name in debug.enums if name.startswith("agent_")} == {name for name, _ in _ENUMS.values()}


def test_items_are_read_and_written_as_they_are_laid_out() -> None:
    item = agent_abi.AgentItem
    assert ctypes.sizeof(item) == agent_items.SIZE
    assert agent_items._INPUT.size == agent_abi.offset_of(item, "status")
    assert agent_abi.offset_of(item, "flags") + agent_items._OUTPUT.size - 64 == ctypes.sizeof(item)
