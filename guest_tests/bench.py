"""`make bench`: what users wait for, and what the device costs, each beside the floor of the same run where it has one.

Nothing here passes or fails: machines differ, and shared ones are noisy. Compare ratios and medians.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from device_model.build_core import C_FLAGS, LIBRARIES, c_sources
from device_model.config import DeviceConfig
from guest_tests import bench_capacity
from guest_tests.agent_build import AgentImage, build_agent
from guest_tests.bench_portal import measure_portal
from guest_tests.bench_tables import table_of
from guest_tests.guests import first_sign_of_life_ms, running_guests
from guest_tests.member import Member
from guest_tests.rig import Rig, make_host
from host_ctl.host import Host
from host_ctl.results import Timing, timing
from host_ctl.run_folder import RunFolder
from qemu_patches import QemuBinary, find_qemu
from qemu_patches.store import default_folder

REGION_READ = Path(__file__).resolve().parent.parent / "device_model" / "bench" / "region_read.c"
MODEL = REGION_READ.parents[1]
BOOTS, CYCLES, FIRES = 20, 40, 2000


async def _life(image: AgentImage, qemu: QemuBinary, folder: Path) -> list[Timing]:
    times = [await first_sign_of_life_ms(image, qemu, folder, accelerator="tcg") for _ in range(BOOTS)]
    return [timing("guest: exec to first sign of life", times, "ms")]


async def _hotplug_and_fire(image: AgentImage, qemu: QemuBinary, folder: Path) -> list[Timing]:
    async with running_guests(1, image, qemu, folder, accelerator="tcg") as members:
        mapped = await _round_trips_of_a_mapped_portal(members, folder)
        rig = Rig(await asyncio.to_thread(make_host, 1, 4), members, folder, vectors=4, seed=1)
        try:
            for _ in range(CYCLES):
                await rig.plug(members[0])
                await rig.unplug(members[0])
            await rig.plug(members[0])
            rig.timings.round_trip.clear()
            for _ in range(FIRES // 500):
                await rig.fire(members[0], [1, 2, 3, 4] * 125)
            fires = rig.record.summary().latencies_ns
        finally:
            await asyncio.to_thread(rig.close)
    t = rig.timings
    return [
        timing("device_add answered by QEMU", t.device_add, "ms"),
        timing("device_add to first interrupt taken", t.add_to_interrupt, "ms"),
        timing("device_del to slot switched off by the guest", t.eject, "ms"),
        timing("device_del to DEVICE_DELETED", t.device_del, "ms"),
        timing("descriptor stored to interrupt taken", [ms * 1e3 for ms in t.round_trip], "us"),
        timing("the same through a mapped portal", [ms * 1e3 for ms in mapped], "us"),
        timing("IMS fire: accepted to message sent", [ns / 1e3 for ns in fires], "us"),
    ]


async def _round_trips_of_a_mapped_portal(members: Sequence[Member], folder: Path) -> list[float]:
    """Of as many descriptors as are measured at the portal that traps, in the same guest; ms."""
    rig = Rig(await asyncio.to_thread(make_host, 1, 4), members, folder, vectors=4, seed=1, mapped_portal=True)
    try:
        await rig.plug(members[0])
        rig.timings.round_trip.clear()
        for _ in range(FIRES // 500):
            await rig.fire(members[0], [1, 2, 3, 4] * 125)
        await rig.unplug(members[0])
    finally:
        await asyncio.to_thread(rig.close)
    return rig.timings.round_trip


def _region_read(folder: Path) -> dict[str, Any]:
    """REGION_READ of our own client against a bare socket, in turn; built here, served by a process of its own."""
    program = folder / "region_read"
    subprocess.run(["gcc", "-std=c17", "-O2", "-Wall", "-Wextra", "-o", program, REGION_READ, "-pthread"], check=True)
    host = Host(DeviceConfig(num_wqs=1, total_wq_size=64, num_ims=256))
    try:
        mdev = host.create("dsa-1dwq-v1", 1, folder)
        done = subprocess.run([program, mdev.socket], check=True, capture_output=True, text=True, timeout=300)
    finally:
        host.close()
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _show_region_read(console: Console, read: dict[str, Any]) -> None:
    title = "REGION_READ round trip against a bare socket (us)"
    table = table_of(title, "peers on", "read p50", "read p99", "floor p50", "floor p99", "ratio p50")
    for where, title in (("one_cpu", "one CPU"), ("two_cpus", "two CPUs")):
        if (one := read[where]) is not None:
            numbers = (one["read_p50_us"], one["read_p99_us"], one["floor_p50_us"], one["floor_p99_us"])
            table.add_row(title, *(f"{number:.1f}" for number in numbers), f"{one['ratio_p50']:.2f}")
    console.print(table)


def _memmove(folder: Path) -> dict[str, Any]:
    """Memory Move through the whole device against memcpy of the same memory, on one CPU; built here, a process of its own."""
    program = folder / "memmove"
    sources = [MODEL / "bench" / "memmove.c", *c_sources()]
    subprocess.run(
        ["gcc", *C_FLAGS, "-o", program, *sources, "-pthread", *(f"-l{one}" for one in LIBRARIES)], check=True
    )
    done = subprocess.run([program], check=True, capture_output=True, text=True, timeout=300)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _show_memmove(console: Console, moves: dict[str, Any]) -> None:
    caches = ", ".join(f"{size / 1024:.0f}" for size in moves["cache_bytes"])
    title = f"Memory Move through the device against memcpy (1.00: as fast)\nCaches of {caches} KiB"
    table = table_of(title, "set", "size", "ratio p50", "p99", "memcpy ns", "device ns", "GB/s")
    for name in ("hot", "warm", "cold"):
        for size, one in moves[name].items():
            ratios = f"{one['ratio_p50']:.2f}", f"{one['ratio_p99']:.2f}"
            times = f"{one['memcpy_ns']:.0f}", f"{one['device_ns']:.0f}", f"{one['gb_per_s']:.1f}"
            table.add_row(f"{name}, {one['set_bytes'] / 2**20:.3g} MiB", size, *ratios, *times)
    console.print(table)


def _show_portal(console: Console, portal: dict[str, Any]) -> None:
    title = "No-ops through a trapped portal, by our own client, 32 at once"
    table = table_of(title, "stored by", "descriptors/s", "p50 us", "p99 us")
    for how, one in portal["no_ops"].items():
        table.add_row(how, f"{one['per_s']:.0f}", f"{one['p50_us']:.2f}", f"{one['p99_us']:.2f}")
    console.print(table)
    console.print(f"A device that nobody uses: {portal['idle_cpu_ms_per_s']:.2f} ms of CPU time a second")


def _whole_run(guests: int, vectors: int, report: Path) -> float:
    command = [sys.executable, "-m", "host_ctl", "run", "--quiet", "--accel", "tcg", "--seed", "7"]
    begin = time.perf_counter()
    done = subprocess.run(
        [*command, "--guests", str(guests), "--vectors", str(vectors), "--report", str(report)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(
            f"the run with {guests} guests did not prove isolation, its time means nothing:\n{done.stdout}"
        )
    return time.perf_counter() - begin


def _show(console: Console, timings: Sequence[Timing]) -> None:
    table = table_of("Latencies", "what", "n", "p50", "p99", "min", "unit")
    for one in timings:
        figures = (f"{value:.3g}" if value < 1000 else f"{value:,.0f}" for value in (one.p50, one.p99, one.min))
        table.add_row(one.name, str(one.n), *figures, one.unit)
    console.print(table)


def main() -> int:
    """Measures, prints, and writes build/bench.json."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("build/bench.json"), help="where the figures go (%(default)s)"
    )
    parser.add_argument("--no-runs", action="store_true", help="leave out the whole runs with 8 and 64 guests")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    qemu, image = find_qemu(), build_agent(default_folder() / "agent")
    with RunFolder() as runs, tempfile.TemporaryDirectory() as scratch:
        folder = runs.path
        read = _region_read(folder)
        _show_region_read(console, read)
        moves = _memmove(folder)
        _show_memmove(console, moves)
        portal = measure_portal(folder)
        _show_portal(console, portal)
        stores = bench_capacity.measure_all(console)
        bench_capacity.show(console, stores)
        timings = [*asyncio.run(_life(image, qemu, folder)), *asyncio.run(_hotplug_and_fire(image, qemu, folder))]
        _show(console, timings)
        sizes = () if arguments.no_runs else ((8, 4), (64, 4))
        seconds = {
            f"{guests} guests x {vectors} vectors": _whole_run(guests, vectors, Path(scratch))
            for guests, vectors in sizes
        }
    for name, taken in seconds.items():
        console.print(f"vdsa run, everything, {name}: {taken:.1f} s")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    named = {
        one.name: {"p50": one.p50, "p99": one.p99, "min": one.min, "n": one.n, "unit": one.unit} for one in timings
    }
    figures = {
        "region_read": read,
        "memmove": moves,
        "portal": portal,
        "stores": bench_capacity.as_data(stores),
        "latencies": named,
        "runs_s": seconds,
    }
    arguments.output.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
