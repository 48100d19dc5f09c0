"""What a run says of its guests: which register one that hangs keeps reading, and what they touched that is not modelled."""

from __future__ import annotations

import asyncio

import pytest

from guest_tests.agent_errors import AgentCommandFailed, AgentTimeout
from guest_tests.agent_results import Item
from guest_tests.descriptors import Opcode, descriptor
from guest_tests.member import SLOT, Member
from guest_tests.rig import PORTAL, Rig
from guest_tests.session import Session
from guest_tests.suite import Watcher
from guest_tests.tests.own_rig import own_rig
from host_ctl.ctrl_c import CtrlC

DRAIN_WQ_0 = 8 << 20 | 1
KEEPS_READING = r"keeps reading CMDSTATUS \(0xa8\), value 0x8000[0-9a-f]{4} = Active.*, [\d,]+ times in \d+\.\d s"
NAME = "test_a_drain_ends"


async def hang(rig: Rig) -> None:
    """Descriptors of guest 0 stay where they are from now on, and it has one: a drain never ends."""
    await asyncio.to_thread(rig.host.device.stop_engines)
    noop = Item(descriptor(Opcode.NOOP), wait_completion=False)
    await rig.members[0].link.submit(SLOT, [noop], portal=PORTAL)


async def until_noticed(member: Member) -> None:
    """Returns when the device takes what the guest does for polling; the test's own limit bounds it."""
    while not member.keeps_reading():  # noqa: ASYNC110 (nobody is told)
        await asyncio.sleep(0.05)


def failure() -> pytest.TestReport:
    return pytest.TestReport(f"scenarios::{NAME}", ("scenarios", 0, NAME), {}, "failed", "Timeout >600.0s", "call")


async def test_register_that_a_hanging_guest_keeps_reading_is_in_every_message(session: Session) -> None:
    async with own_rig(session, guests=1, vectors=2) as rig:
        await hang(rig)
        member = rig.members[0]
        draining = asyncio.create_task(member.link.command(SLOT, DRAIN_WQ_0, timeout_s=60))
        await until_noticed(member)
        with pytest.raises(AgentTimeout, match=f"; it {KEEPS_READING}"):
            await member.link.wait_count(200, 1, timeout_s=0.05)
        draining.cancel()
        own = Session(session.options, session.progress, session.folder, session.qemu, session.image, session.accelerator)
        own.members = rig.members
        Watcher(own, CtrlC()).pytest_runtest_logreport(failure())

    assert own.hangs() == ""
    assert own.scenarios[NAME].message.startswith("Timeout >600.0s\nguest 0 keeps reading CMDSTATUS (0xa8), value 0x8000")


async def test_command_that_the_guest_gives_up_says_what_it_has_been_reading(session: Session) -> None:
    async with own_rig(session, guests=1, vectors=2) as rig:
        await hang(rig)
        with pytest.raises(AgentCommandFailed, match=f"TIMEOUT in step .*; it {KEEPS_READING}"):
            await rig.members[0].link.command(SLOT, DRAIN_WQ_0, timeout_s=6)


async def test_what_guests_touch_is_told_by_register_for_all_of_them_together(session: Session) -> None:
    async with own_rig(session, guests=2, vectors=2) as rig:
        for member in rig.members:
            await member.link.mmio_read(SLOT, 0, 0x100, 4)
        await rig.unplug(rig.members[0])
        rig.diagnose_present()
        (touched,) = rig.diagnosis.touched()

    assert (touched.register, touched.what) == ("IDCAP", "read, not modelled")
    assert (touched.guests, touched.count) == ((0, 1), 2)
    assert rig.diagnosis.polled() == ()
