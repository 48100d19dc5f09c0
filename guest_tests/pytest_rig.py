"""pytest plugin: the fixtures `rig` (guests with an mdev each) and `arena` (where faults are planted).

The suite gives it a session; a plain `pytest guest_tests` makes a small one of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any, cast

import pytest

from device_model.device import LEDGER_CAPACITY
from device_model.errors import DeviceError
from guest_tests.agent_errors import AgentError
from guest_tests.arena import Arena
from guest_tests.controls import GUESTS
from guest_tests.guests import running_guests
from guest_tests.linux.guest import LinuxTrouble
from guest_tests.linux.rig import LinuxRig
from guest_tests.linux.victim import Victim
from guest_tests.linux.victims import running_victims
from guest_tests.member import Member
from guest_tests.planted import Fault, is_built, planted_core
from guest_tests.rig import Rig, make_host
from guest_tests.session import Session, open_resources, open_session
from host_ctl.errors import HostError
from host_ctl.host import Host
from host_ctl.options import RunOptions
from host_ctl.progress import Progress, QuietProgress
from qemu_patches.store import default_folder

SESSION = pytest.StashKey[Session]()
LINUX_LEDGER = 1 << 22
"""Records: guests with Linux copy for as long as a window lasts, several records a copy, and the rig looks when it is over."""
PLAIN = RunOptions(guests=4, vectors=3, seed=1, accelerator="tcg")
"""What a plain pytest run uses."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shared: a scenario about what mdevs share; left out if they share nothing")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Faults are planted when the scenarios have been run: they share the guests, and end the mdevs of the rig. In a plain pytest
    run, those that its store cannot have are left out.
    """
    items.sort(key=lambda item: "negative_controls" in item.path.parts)
    if SESSION not in config.stash:
        left_out = [item for item in items if not _is_possible(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_possible(item: pytest.Item) -> bool:
    fault = item.callspec.params.get("fault") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    return not isinstance(fault, Fault) or not fault.why_not(PLAIN.organisation, PLAIN.scope)


@pytest.fixture(scope="session")
def common(request: pytest.FixtureRequest) -> Iterator[Session]:
    """The suite's session, or a small one of its own: its guests are started once, whatever is done with them."""
    given = request.config.stash.get(SESSION, None)
    if given is not None:
        yield given
        return
    own = open_session(PLAIN, QuietProgress())
    yield own
    own.folder.close()


@pytest.fixture(scope="session")
def session(common: Session, request: pytest.FixtureRequest) -> Session:
    """What is run in the guests: all there is, or one session after the other, each a parameter."""
    return cast(Session, getattr(request, "param", common))


@contextlib.contextmanager
def or_end_the_run(session: Session) -> Iterator[None]:
    """Where there is nothing to run scenarios on, the run ends with one clear reason instead of an error for each."""
    try:
        yield
    except (HostError, DeviceError, AgentError, LinuxTrouble, AssertionError, OSError) as error:
        session.interrupted = str(error) or type(error).__name__
        pytest.exit(session.interrupted)


@pytest.fixture(scope="session")
async def members(common: Session) -> AsyncIterator[list[Member]]:
    """Running guests; three at least, for the controls need two that watch a third."""
    options = common.options
    count = max(options.agents, GUESTS) if options.controls else options.agents
    common.progress.phase("Starting guests")
    async with contextlib.AsyncExitStack() as stack:
        with or_end_the_run(common):
            guests = running_guests(
                count, common.image, common.qemu, common.folder.path,
                accelerator=common.accelerator.name, ready=common.progress.guests_ready,
            )  # fmt: skip
            started = await stack.enter_async_context(guests)
        yield started


@pytest.fixture
async def rig(session: Session, whole_rig: Rig) -> Rig:
    """The rig, if all its guests live. One that has died ends the run: what follows could prove nothing."""
    for member in whole_rig.members:
        if (problem := await member.diagnosis()) is not None:
            session.interrupted = f"guest {member.index}: {problem}"
            pytest.exit(session.interrupted)
    for guest in whole_rig.everybody:
        if (problem := guest.problem()) is not None:
            session.interrupted = f"guest {guest.index}: {problem}"
            pytest.exit(session.interrupted)
    return whole_rig


@pytest.fixture(scope="session")
async def whole_rig(
    common: Session, session: Session, members: list[Member], victims: list[Victim]
) -> AsyncIterator[Rig]:
    """The guests of the run, each with an mdev plugged into it while it ran."""
    options = session.options
    if session is not common:  # not the only one of these guests, which go on after it
        session.resources_before = open_resources()
    session.began = time.perf_counter()
    host = await asyncio.to_thread(
        make_host, options.all_guests, options.vectors,
        trace=options.trace, organisation=options.organisation, scope=options.scope,
        ledger_capacity=LINUX_LEDGER if options.linux else LEDGER_CAPACITY,
    )  # fmt: skip
    session.audit_before = host.audit().counts()
    rig = make_rig(session, host, members[: options.agents], victims)
    session.members = rig.members
    background = asyncio.all_tasks()
    try:
        session.progress.phase("Hotplugging an mdev into each running guest")
        with or_end_the_run(session):
            await rig.plug_all()
        session.progress.phase("Scenarios")
        session.progress.planned(len(session.planned))
        yield rig
        if session.seen is None and session.interrupted is None:  # no controls: nobody has ended it yet
            with contextlib.suppress(HostError, AgentError, LinuxTrouble):
                await finish(session, rig)
    finally:
        session.members = []
        await _end_tasks(asyncio.all_tasks() - background)
        session.freeze(rig)
        await close(session, rig)


async def _end_tasks(tasks: set[asyncio.Task[Any]]) -> None:
    """Ends what a scenario was doing when Ctrl-C broke it off: it must not go on while its rig is taken down.

    What the loop itself does when it is closed is left alone: it may be waiting for this.
    """
    tasks.discard(cast("asyncio.Task[Any]", asyncio.current_task()))
    tasks = {task for task in tasks if not _is_the_loops(task)}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _is_the_loops(task: asyncio.Task[Any]) -> bool:
    """Closing of generators that nobody has closed; a step of one has no name."""
    return getattr(task.get_coro(), "__qualname__", "") in ("", "BaseEventLoop.shutdown_asyncgens")


def make_rig(session: Session, host: Host, members: list[Member], victims: list[Victim]) -> Rig:
    """The rig that the run was asked for, with nothing plugged yet."""
    options = session.options
    eventfd, mapped = options.delivery == "eventfd", options.mapped_portal(session.accelerator.name)
    if not options.linux:
        return Rig(
            host, members, session.place, vectors=options.vectors, seed=options.seed, eventfd=eventfd,
            mdev_type=options.mdev_type, mapped_portal=mapped,
        )  # fmt: skip
    rig = LinuxRig(
        host, members, victims, session.place, vectors=options.vectors, seed=options.seed, eventfd=eventfd,
        mdev_type=options.mdev_type, mapped_portal=mapped,
    )  # fmt: skip
    rig.timings.linux_boot.extend(victim.booted_s * 1e3 for victim in victims)
    return rig


@pytest.fixture(scope="session")
async def victims(common: Session, members: list[Member]) -> AsyncIterator[list[Victim]]:
    """Guests with Linux, if the run has some; numbered after those with an agent."""
    async with contextlib.AsyncExitStack() as stack:
        with or_end_the_run(common):
            started = await stack.enter_async_context(running_victims(common)) if common.options.linux else []
        yield started


@pytest.fixture
async def linux_rig(rig: Rig) -> LinuxRig:
    """The rig of a run with Linux."""
    assert isinstance(rig, LinuxRig), "scenarios with Linux are for `vdsa run --rig linux`"
    return rig


@pytest.fixture(scope="session")
async def arena(session: Session, members: list[Member], whole_rig: Rig) -> Arena:
    """Comes after the last scenario: what they showed is taken down, and their mdevs are unplugged."""
    with or_end_the_run(session):
        await finish(session, whole_rig)
    core = await load_planted_core(session.progress)
    session.progress.phase("Negative controls")
    session.progress.planned(len(session.planned_controls) + 1)
    return Arena(session, members, core)


async def load_planted_core(progress: Progress) -> ModuleType:
    """The device with places for defects; says so where it is built first. Raises what planted_core() raises."""
    cache = default_folder() / "planted"
    if not is_built(cache):
        progress.phase("Building the device with places for defects (once)")
    return await asyncio.to_thread(planted_core, cache)


async def close(session: Session, rig: Rig) -> None:
    """Ends the host and counts what is left of it. Later calls change nothing."""
    await asyncio.to_thread(rig.close)
    if session.resources_after is None:
        session.resources_after = open_resources()


async def finish(session: Session, rig: Rig) -> None:
    """Unplugs all mdevs, freezes the evidence and audits the host."""
    session.sent = rig.record.sent()
    await rig.unplug_all()
    await rig.settle()
    session.freeze(rig)
    session.audit_after = rig.host.audit().counts()
