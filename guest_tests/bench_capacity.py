"""What every combination of message store and domain scope has room for, and what an interrupt costs in it; no guests."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from guest_tests.bench_tables import table_of
from host_ctl.capacity import SIZES, Costs, costs_and_ratios, measure_capacity
from host_ctl.comparison import OPERATIONS, Capacity, Combination, Cost
from host_ctl.interrupts import COMBINATIONS, FACTS

ALL = tuple(
    msgspec.convert({"store": FACTS[organisation].name, "domain": scope.value}, Combination)
    for organisation, scope in COMBINATIONS
)


def measure_all(console: Console) -> dict[Combination, tuple[Capacity, Costs]]:
    """One combination after the other, each beside `array`; takes about half a minute on a quiet machine."""
    with console.status("capacity and cost") as status:
        return {one: (measure_capacity(one, status.update), costs_and_ratios(one, progress=status.update)) for one in ALL}


def show(console: Console, measured: dict[Combination, tuple[Capacity, Costs]]) -> None:
    """Three tables: capacity, with what refuses a VM when all is used up; medians; ratios."""
    console.print(_capacity(measured))
    for one, (capacity, _) in measured.items():
        console.print(f"{one}: {capacity.exhaustion}")
    console.print()
    console.print(_medians(measured))
    console.print(_ratios(measured))


def as_data(measured: dict[Combination, tuple[Capacity, Costs]]) -> dict[str, Any]:
    """For the file of figures, by combination."""
    return {
        str(one): {
            "capacity": msgspec.to_builtins(capacity),
            "costs": msgspec.to_builtins(costs.costs),
            "ratios": msgspec.to_builtins(costs.ratios),
        }
        for one, (capacity, costs) in measured.items()
    }


def _capacity(measured: dict[Combination, tuple[Capacity, Costs]]) -> Table:
    title = "Vectors, bytes for each, and below what the next VM is told when all is used up"
    table = table_of(title, "store/domain", "of a device", "of a VM", "host bytes", "device bytes")
    for one, (capacity, _) in measured.items():
        device = "memory" if capacity.vectors_device is None else f"{capacity.vectors_device:,}"
        sizes = f"{capacity.bytes_per_vector_host:.0f}", f"{capacity.bytes_per_vector_device:.4g}"
        table.add_row(str(one), device, f"{capacity.vectors_vm:,}", *sizes)
    return table


def _medians(measured: dict[Combination, tuple[Capacity, Costs]]) -> Table:
    title = "Median / p99 in us for one vector, with so many in use\n*: the store is full with fewer"
    table = table_of(title, "store/domain", "operation", *(f"{size:,}" for size in SIZES))
    for one, (_, costs) in measured.items():
        for name in OPERATIONS:
            table.add_row(str(one), name, *(_median(cost) for cost in costs.costs if cost.operation == name))
    return table


def _median(cost: Cost) -> str:
    full = "*" if cost.reached < cost.vectors else ""
    return f"{(cost.p50_ns or 0) / 1e3:.2f} / {(cost.p99_ns or 0) / 1e3:.2f}{full}"


def _ratios(measured: dict[Combination, tuple[Capacity, Costs]]) -> Table:
    title = "Ratios in the same run: growth, and firing beside array"
    table = table_of(title, "store/domain", "operation", "vectors", "ratio", "to")
    for one, (_, costs) in measured.items():
        for ratio in costs.ratios:
            table.add_row(str(one), ratio.operation, f"{ratio.vectors:,}", f"{ratio.ratio:.2f}", ratio.to)
    return table
