"""Runs a row in a combination: fresh mdevs of a host with the fault, in guests that run already; and what cell it comes to."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from guest_tests.containment.excerpt import excerpt
from guest_tests.containment.outcome import Judged, judge
from guest_tests.containment.row import Row
from guest_tests.containment.scene import VECTORS, Scene
from guest_tests.controls import GUESTS
from guest_tests.member import Member
from guest_tests.rig import device_sizes
from host_ctl.comparison import Cell, Combination
from host_ctl.host import Host
from host_ctl.interrupts import Organisation, Scope

SPARE = 2
"""Mdevs that the device has room for beside the guests'."""


async def probe(
    row: Row, combination: Combination, members: Sequence[Member], core: ModuleType, folder: Path, seed: int,
    *, planted: bool = True,
) -> Cell:  # fmt: skip
    """The cell of `row` in `combination`; the mdevs are gone afterwards, the guests go on.

    core: the one with planted faults. planted=False: everything is tried, but nothing is wrong; that must be contained, or the
    probe itself does harm. Raises what the rig raises if the probe comes to no answer.
    """
    begin = time.perf_counter()
    organisation, scope = Organisation[combination.store.upper()], Scope(combination.domain)
    judged, lines = await _try(row, organisation, scope, members, core, folder, seed, planted)
    reason = row.why_not(organisation, scope)
    if reason and judged.outcome == "contained":
        return Cell(
            row=row.id, combination=combination, outcome="not_possible", why=reason, excerpt=lines,
            seconds=time.perf_counter() - begin,
        )  # fmt: skip
    because = row.why(organisation, scope)
    return Cell(
        row=row.id, combination=combination, outcome=judged.outcome,
        why=f"{judged.seen}: {because}" if because else judged.seen, excerpt=lines, seconds=time.perf_counter() - begin,
    )  # fmt: skip


async def _try(
    row: Row, organisation: Organisation, scope: Scope, members: Sequence[Member], core: ModuleType, folder: Path, seed: int,
    planted: bool,
) -> tuple[Judged, tuple[str, ...]]:  # fmt: skip
    folder = folder / f"probe-{row.id}"
    folder.mkdir()
    config = device_sizes(GUESTS + SPARE, VECTORS, organisation, scope)
    host = await asyncio.to_thread(Host, config, scope=scope, mdev_vectors=row.mdev_vectors, core=core)
    fault = row.fault if planted else None
    try:
        if fault is not None:
            fault.plant(host)
            host.device.plant_fault(fault.core_fault)
        fresh = [Member(m.index, m.guest, m.link, plugged=m.plugged + 1000) for m in members[:GUESTS]]
        scene = Scene(host, fresh, folder, seed, fault.core_fault if fault is not None else 0)
        try:
            await row.act(scene)
            judged = judge(scene.seen())
            return judged, excerpt(scene, judged)
        finally:
            await scene.leave()
            for old, new in zip(members, fresh, strict=False):
                old.plugged = new.plugged - 1000
    finally:
        with contextlib.suppress(Exception):  # a host with a fault may be unable to take itself apart
            await asyncio.to_thread(host.close)
        shutil.rmtree(folder)
