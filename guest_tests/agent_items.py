"""Items of SUBMIT in the shared block, in bulk."""

import struct
from collections.abc import Sequence

from guest_tests.agent_abi import AgentItem, AgentShared, offset_of
from guest_tests.agent_numbers import ItemFlag, ItemResult
from guest_tests.agent_results import Item, ItemOutcome

SIZE = 192
COMPLETION_OFFSET = offset_of(AgentItem, "completion")
ITEMS_OFFSET = offset_of(AgentShared, "items")

_INPUT = struct.Struct("<64s64xIII")
_OUTPUT = struct.Struct("<64s8xIIIIQQQ16x")


def write_items(place: memoryview, items: Sequence[Item]) -> None:
    """Writes items one behind the other to `place`, with empty completion records and no result."""
    for i, item in enumerate(items):
        if len(item.descriptor) != 64:
            raise ValueError(f"descriptor {i} has {len(item.descriptor)} bytes instead of 64")
        flags = ItemFlag.WAIT_COMPLETION if item.wait_completion else ItemFlag.NONE
        _INPUT.pack_into(place, i * SIZE, item.descriptor, flags, item.expect_vector, ItemResult.UNTOUCHED)


def read_items(place: memoryview, count: int, tsc_khz: int) -> tuple[ItemOutcome, ...]:
    """The outcomes of `count` items at `place`."""
    return tuple(_outcome(place, i * SIZE, tsc_khz) for i in range(count))


def _outcome(place: memoryview, offset: int, tsc_khz: int) -> ItemOutcome:
    fields = _OUTPUT.unpack_from(place, offset + COMPLETION_OFFSET)
    completion, result, status, interrupts, first, start, completed, interrupted = fields

    def us(moment: int) -> float | None:
        return (moment - start) * 1000 / tsc_khz if moment else None

    return ItemOutcome(ItemResult(result), status, completion, interrupts, bool(first), us(completed), us(interrupted))
