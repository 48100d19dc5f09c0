"""Runs a negative control: plants one fault, runs the scenarios that should notice it, and says what did."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from device_model.errors import DeviceError
from guest_tests.agent_errors import AgentError
from guest_tests.member import Member
from guest_tests.planted import Fault, Finding
from guest_tests.rig import NotArrived, Rig, device_sizes
from host_ctl.errors import HostError
from host_ctl.host import Host
from host_ctl.interrupts import Organisation, Scope
from host_ctl.options import DEFAULT_TYPE
from host_ctl.results import promise
from host_ctl.verdict import Evidence, Outcome, find_leaks, judge

Scenario = Callable[[Rig], Awaitable[None]]

GUESTS = 3
VECTORS = 2
PATIENCE_S = 0.5
"""How long a guest waits for an interrupt where the planted fault withholds some. Else as in any run, so that a busy machine does
not look like a fault."""
_CONDITIONS = {1: Finding.DUE, 2: Finding.LEAK, 4: Finding.LEDGER}


@dataclass(frozen=True, slots=True)
class ControlRun:
    """What a control found: finding -> the first sentence that shows it; and how long it took, in seconds."""

    findings: dict[Finding, str]
    seconds: float

    def caught_by(self, fault: Fault) -> str:
        """The evidence that counts for this fault; empty: it was missed."""
        return next(
            (f"{kind}: {self.findings[kind]}" for kind in Finding if kind in self.findings and kind in fault.shown_by),
            "",
        )


async def run_control(
    fault: Fault | None,
    scenarios: Sequence[Scenario],
    members: Sequence[Member],
    core: ModuleType,
    folder: Path,
    seed: int,
    mdev_type: str = DEFAULT_TYPE,
    organisation: Organisation = Organisation.ARRAY,
    scope: Scope = Scope.DEVICE,
) -> ControlRun:
    """Runs `scenarios` on fresh mdevs in the guests that run already, with `fault` planted (None: without any).

    Stops at the first finding that counts. The mdevs are gone afterwards, the guests go on.
    """
    begin = time.perf_counter()
    folder = folder / f"control-{fault.id if fault is not None else 'none'}"
    folder.mkdir()
    config = device_sizes(GUESTS + 2, VECTORS, organisation, scope)
    host = await asyncio.to_thread(Host, config, scope=scope, mdev_vectors=VECTORS, core=core)
    try:
        clean = host.audit().counts()
        if fault is not None:
            fault.plant(host)
            host.device.plant_fault(fault.core_fault)
        fresh = [Member(m.index, m.guest, m.link, plugged=m.plugged + 1000) for m in members[:GUESTS]]
        rig = Rig(host, fresh, folder, vectors=VECTORS, seed=seed, mdev_type=mdev_type)
        if fault is not None:
            rig.core_fault = fault.core_fault
            rig.patience_s = PATIENCE_S if fault.withholds else rig.patience_s
        left: dict[Finding, str] = {}
        try:
            findings = await _look(rig, fault, scenarios)
        finally:  # whatever went wrong: the next control needs the guests' slots
            left = await _unplug_all(rig)
            for old, new in zip(members, fresh, strict=False):
                old.plugged = new.plugged - 1000
        findings |= left or _compare(clean, host.audit().counts())
    finally:
        with contextlib.suppress(HostError, DeviceError):  # a part that failed to go has been noticed above
            await asyncio.to_thread(host.close)
        shutil.rmtree(folder)
    return ControlRun(findings, time.perf_counter() - begin)


async def _look(rig: Rig, fault: Fault | None, scenarios: Sequence[Scenario]) -> dict[Finding, str]:
    findings: dict[Finding, str] = {}
    wanted = fault.shown_by if fault is not None else frozenset(Finding)
    for scenario in (first_interrupt_arrives_after_hotplug, *scenarios):
        try:
            await scenario(rig)
        except (
            NotArrived,
            AgentError,
        ) as late:  # a busy machine may do that too: counts only where it is what must happen
            findings.setdefault(Finding.DUE, f'"{promise(scenario.__name__)}" is broken: {_first_line(late)}')
        except AssertionError as broken:
            findings.setdefault(Finding.PROMISE, f'"{promise(scenario.__name__)}" is broken: {_first_line(broken)}')
        except (HostError, DeviceError) as error:
            findings.setdefault(Finding.RESOURCES, f'in "{promise(scenario.__name__)}" the host failed: {_first_line(error)}')
        findings = _judged(rig) | findings
        if wanted & findings.keys():
            break
    return findings


def _first_line(error: BaseException) -> str:
    """What an error says first; one that says nothing must not end the control."""
    return next(iter(str(error).splitlines()), type(error).__name__)


async def first_interrupt_arrives_after_hotplug(rig: Rig) -> None:
    """What plugging checks by itself: the guest brings the device up and takes one interrupt."""
    for member in rig.members:
        await rig.plug(member)


async def _unplug_all(rig: Rig) -> dict[Finding, str]:
    """Empties all slots, also where the host fails to take an mdev apart; that is a finding."""
    findings: dict[Finding, str] = {}
    for member in rig.members:
        if member.mdev is None:
            continue
        try:
            with contextlib.suppress(AgentError):
                await rig.unplug(member)
        except Exception as error:  # a host with a fault may fall over its own books
            findings[Finding.RESOURCES] = f"an mdev could not be taken apart: {type(error).__name__} {_first_line(error)}"
    return findings


def _judged(rig: Rig) -> dict[Finding, str]:
    """What the verdict would say of the evidence so far."""
    evidence = Evidence(
        guests=frozenset(member.index for member in rig.members),
        due=dict(rig.record.due),
        guest_counts=rig.record.guest_counts(),
        strays={member.index: rig.record.strays(member) for member in rig.members},
        account=rig.record.summary(),
        windows=tuple(rig.record.windows),
        scenarios={"control": Outcome.PASSED},
        planned_scenarios=frozenset({"control"}),
        controls={},
        planned_controls=frozenset(),
        resources_before={},
        resources_after={},
    )
    leaks = find_leaks(evidence)
    found = {Finding.LEAK: leaks[0]} if leaks else {}
    broken = {
        _CONDITIONS[c.number]: c.evidence
        for c in judge(evidence).conditions
        if c.number in _CONDITIONS and c.held is False
    }
    return broken | found


def _compare(before: dict[str, int], after: dict[str, int]) -> dict[Finding, str]:
    for name, count in before.items():
        if after[name] != count:
            return {Finding.RESOURCES: f"{name}: {count} before, {after[name]} afterwards"}
    return {}
