"""What an interrupt costs: to allocate, to free and to fire, with few and with many others in use.

allocate: a block of SAMPLE vectors for a new VM, from the domain to the last entry that is open; CPU time by the vector.
free: the same block disarmed, cleared and given back. Entries are those that were given back last, as domains do it.
fire: in C, one descriptor at a time, from the store to the portal until its message has come to interrupt remapping (which has no
entry for it: a host has fewer than a store may have vectors, and what comes after is the same for all stores). The entries are
spread over all that are in use.

All that is compared is measured in turns, in one run: on a machine that does other things as well ratios and medians mean
something, single times do not.
"""

from __future__ import annotations

import itertools
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from ctypes import CDLL
from dataclasses import dataclass, field
from statistics import median

from host_ctl.capacity.filled import SAMPLE_WQ, Filled, parts
from host_ctl.capacity.sizes import most_entries
from host_ctl.comparison import OPERATIONS, Combination, Cost, Operation
from host_ctl.interrupts import Organisation, Subdevice
from host_ctl.interrupts.organisation import MAX_ARRAY
from host_ctl.remapping import RemapEntry
from host_ctl.samples import percentile

SIZES = (1000, 65_536, 1_000_000)
ROUNDS, WARM_UP, BLOCKS, SHOTS = 30, 3, 10, 400
"""Turns; of them, those that are not counted; blocks allocated and freed, and interrupts fired, in each."""
SAMPLE = 8
ARRAY = Combination("array", "device")
"""What the cost of firing is compared with."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ratio:
    """How much longer an operation takes than what it is compared with: the median of the ratios of all rounds' medians."""

    operation: Operation
    vectors: int
    to: str
    ratio: float


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one combination. fire is compared with `array` at as many vectors, allocate with itself at the smallest size."""

    costs: tuple[Cost, ...]
    ratios: tuple[Ratio, ...]


@dataclass(slots=True)
class Series:
    """What was sampled at one size: nanoseconds, by the vector, a list for each round."""

    filled: Filled
    samples: dict[Operation, list[array[int]]] = field(default_factory=lambda: {name: [] for name in OPERATIONS})

    @property
    def reached(self) -> int:
        """Vectors in use."""
        return self.filled.reached

    def sorted(self, operation: Operation) -> list[int]:
        """All samples, ascending."""
        return sorted(itertools.chain.from_iterable(self.samples[operation]))

    def ratio(self, operation: Operation, other: Series) -> float:
        """To another series, round by round."""
        rounds = zip(self.samples[operation], other.samples[operation], strict=True)
        return median(median(mine) / median(its) for mine, its in rounds)


def measure_costs(
    combination: Combination,
    sizes: Sequence[int],
    library: CDLL,
    progress: Progress,
    *,
    rounds: int = ROUNDS,
) -> Costs:
    """Costs at each of `sizes` vectors, or at as many as there can be, and ratios.

    Besides, fire is measured where an array is full, which is the most that both have. MeasurementFailed, DeviceError.
    """
    organisation, _ = parts(combination)
    asked = _asked(organisation, (*sizes, MAX_ARRAY))
    with ExitStack() as stack:

        def fill(which: Combination, vectors: int) -> Series:
            progress(f"{which}: filling the store with {vectors:,} vectors")
            return Series(stack.enter_context(Filled(which, vectors, library)))

        series = [fill(combination, vectors) for vectors in asked]
        arrays = {one.reached: fill(ARRAY, one.reached) for one in series if one.reached <= MAX_ARRAY}
        for one in series:
            _make_room(one.filled)
        progress(f"{combination}: timing")
        for number in range(-WARM_UP, rounds):
            _round(series, list(arrays.values()), number)
        costs = tuple(_cost(combination, operation, size, series) for operation in OPERATIONS for size in sizes)
        return Costs(costs, tuple(_ratios(series, arrays)))


def _asked(organisation: Organisation, sizes: Sequence[int]) -> list[int]:
    """What stores are filled with, ascending: of sizes that there cannot be only the largest, to see what refuses it."""
    most = most_entries(organisation)
    beyond = [size for size in sizes if most is not None and size >= most]
    return sorted({size for size in sizes if size not in beyond} | set(beyond and [max(beyond)]))


def _make_room(filled: Filled) -> None:
    """The last VM goes, and what is timed is allocated in its place."""
    while True:
        filled.remove_last()
        left = filled.domains.available(SAMPLE)
        if left is None or left > 0:
            return


# ---- a round ----


def _round(series: list[Series], arrays: list[Series], number: int) -> None:
    """Each in turn, in another order each time. What is sampled before round 0 is not kept."""
    first = number % len(series)
    for one in (*series[first:], *series[:first]):
        allocate, free = _allocate_and_free(one.filled)
        _keep(one, "allocate", allocate, number)
        _keep(one, "free", free, number)
    for one in (*series, *arrays):
        _keep(one, "fire", _fire(one.filled, number), number)


def _keep(series: Series, operation: Operation, samples: array[int], number: int) -> None:
    if number >= 0:
        series.samples[operation].append(samples)


def _allocate_and_free(filled: Filled) -> tuple[array[int], array[int]]:
    allocate, free = array("Q"), array("Q")
    for _ in range(BLOCKS):
        owner = Subdevice("sample", filled.ids.allocate(), SAMPLE_WQ)
        begin = time.thread_time_ns()
        block = filled.domains.allocate_block(owner, SAMPLE)
        for _ in range(SAMPLE):
            interrupt = block.parcel()
            message = RemapEntry(1)
            interrupt.program(message.address, message.data)
        middle = time.thread_time_ns()
        filled.free(block)
        free.append((time.thread_time_ns() - middle) // SAMPLE)
        allocate.append((middle - begin) // SAMPLE)
    return allocate, free


def _fire(filled: Filled, number: int) -> array[int]:
    """Where owners share work queues, another group of them in each round."""
    groups = filled.groups()
    group = groups[number % len(groups)]
    if len(groups) > 1:
        filled.turn_to(group)
    return filled.fire(group, SHOTS)


# ---- results ----


def _cost(combination: Combination, operation: Operation, size: int, series: list[Series]) -> Cost:
    one = max((one for one in series if one.reached <= size), key=lambda one: one.reached)
    ordered = one.sorted(operation)
    return Cost(
        combination=combination,
        operation=operation,
        vectors=size,
        reached=one.reached,
        p50_ns=round(percentile(ordered, 0.5)),
        p99_ns=round(percentile(ordered, 0.99)),
        why=one.filled.why if one.reached < size else "",
    )


def _ratios(series: list[Series], arrays: dict[int, Series]) -> list[Ratio]:
    first = series[0]
    most = max(arrays)
    ratios = [
        Ratio(operation, one.reached, f"itself with {first.reached:,}", one.ratio(operation, first))
        for operation in OPERATIONS
        for one in series[1:]
    ]
    for one in series:
        array_there = arrays.get(one.reached, arrays[most])
        ratios.append(Ratio("fire", one.reached, f"{ARRAY} with {array_there.reached:,}", one.ratio("fire", array_there)))
    return ratios
