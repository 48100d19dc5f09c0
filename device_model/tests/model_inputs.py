"""What guests and hosts try: values that are right, at a boundary, or hostile. Strategies for the state machines."""

from __future__ import annotations

import os
import struct
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from device_model.tests.direct_rig import RAM, RAM_SIZE

EXAMPLES_VARIABLE = "VDSA_EXAMPLES"
"""Number of examples, with another seed each time. Without it: always the same ones."""

RECORDS, SOURCE, DESTINATION, LIST, END = RAM, RAM + 0x400, RAM + 0x1400, RAM + 0x2800, RAM + RAM_SIZE
FENCE, CRAV, RCR, RCI = 1 << 0, 1 << 2, 1 << 3, 1 << 4
FULL = CRAV | RCR | RCI
SLOTS, VECTORS = 4, 3

which_guest = st.integers(0, SLOTS - 1)
which_vector = st.integers(0, VECTORS)
flag = st.booleans()
handles = st.sampled_from(
    ["own", "own", "own", "own 2", "other", "other 2", "stale", "free", "last", "outside", "ones", "next"]
)
_GOOD_RECORDS = [RECORDS, RECORDS + 32, RECORDS + 64, RECORDS + 96, RECORDS + 128, END - 32]
_BAD_RECORDS = [RECORDS + 8, END, END - 16, 0, RAM - 32, 2**64 - 32, 0xFEE0_0000, DESTINATION]
records = st.sampled_from([*_GOOD_RECORDS, *_BAD_RECORDS])
fire_flags = st.sampled_from([FULL, FULL, FULL, FULL, CRAV | RCI, RCI, CRAV | RCR, FULL | 1 << 12, FULL | 1, RCR | RCI])
ways = st.sampled_from([(0, False), (0, True), (0, True), (2, True)])
"""Operation, and whether it is carried out at once."""
forged = st.sampled_from([0, 0, 0, 1, 0x80001, 1 << 31, 0xFFFFFFFF])
_ADDRESSES = [SOURCE, DESTINATION, SOURCE + 7, DESTINATION - 0x1001, RECORDS, END - 64, END - 1, END, RAM - 1]
_ADDRESSES += [0, 2**64 - 1, 2**64 - 64, 0xFEE0_0000]
places = st.sampled_from([(source, to) for source in _ADDRESSES for to in _ADDRESSES])
sizes = st.sampled_from(
    [1, 8, 63, 64, 65, 300, 4096, 4097, 0x1800, RAM_SIZE, RAM_SIZE + 1, 0, 1 << 21, (1 << 21) + 1, 2**32 - 1]
)
MEMBERS = ("fire", "fire", "move", "other", "stale", "outside", "fence", "fence and fire", "silent", "silent failure")
MORE_MEMBERS = ("opcode", "flags", "batch", "drain", "misaligned record", "record outside")
FAILING = ("outside", "silent failure", "misaligned record", "record outside", "opcode", "flags", "batch", "drain")
FENCES = ("fence", "fence and fire")
failing, fences = st.sampled_from((*FAILING, "fire", "silent")), st.sampled_from(FENCES)
"""Most of them fail."""
around = st.lists(st.sampled_from(("fire", "move", "silent")), max_size=2)
"""Members that do not fail, before, between or after those that matter."""
members = st.lists(st.sampled_from((*MEMBERS, *MORE_MEMBERS)), min_size=2, max_size=5)
named_members = st.lists(st.sampled_from(("fire", "other", "stale")), min_size=2, max_size=3)
counts = st.sampled_from([None, None, None, None, 0, 1, 2, 3, 32, 33, 0xFFFFFFFF])
lists = st.sampled_from([LIST, LIST, LIST, LIST, LIST + 32, END - 64, END - 128, END, 2**64 - 64, RECORDS])
portals = st.sampled_from([0x1000, 0x0000, 0x1FC0, 0x0040, 0x2000, 0x3000])
dwords = st.sampled_from([0, 1, 2, 3, 4, 7, 8, 0xF, 0x80000000, 0xFEE01000, 0x11, 1 << 28, 0xFFFFFFFF, 0x55AA55AA])
gates = st.sampled_from(["ims", "ims", "disarmed", "vector", "function", "disabled"])
ends = st.sampled_from(["open", "open", "release", "ignore", "stay"])
operands = st.sampled_from([0, 1, 1, 1, 2, 3, 0x8001, 0x10001, 0x100, 0xFF, 0x20001, 0xFFFFF])
codes = st.sampled_from([1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 0, 11, 12, 15, 31])
_OFFSETS = "88 88 98 98 c0 c0 00 10 80 88 90 98 a0 a4 a8 b0 c0 c4 c8 100 400 420 "
_OFFSETS += "600 604 608 60c 610 618 800 804 808 818 2000 200c 201c 2040 3000 f000"
interesting = st.sampled_from([int(offset, 16) for offset in _OFFSETS.split()])
"""Offsets in BAR0: registers, tables, and what is beside them; not those of the event log, which the model does not have."""


def descriptor(
    opcode: int, flags: int, record: int, handle: int, *, source: int = 0, to: int = 0, size: int = 0, word: int = 0
) -> bytes:
    """64 bytes (8.1); word: PASID and Privilege as a guest forges them."""
    return struct.pack("<IIQQQIHH24x", word, flags | opcode << 24, record, source, to, size, handle, 0)


def examples(default: int = 1000, **more: Any) -> settings:
    """Always the same examples unless EXAMPLES_VARIABLE asks for a number; a failure prints how to have it again."""
    asked = os.environ.get(EXAMPLES_VARIABLE)
    return settings(
        max_examples=int(asked) if asked else default,
        derandomize=not asked,
        database=None,
        deadline=None,
        stateful_step_count=50,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        **more,
    )
