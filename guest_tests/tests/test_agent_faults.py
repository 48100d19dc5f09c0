"""An agent that crashes says where in its source; one that cannot say it is still noticed."""

import asyncio
from pathlib import Path

import pytest

from guest_tests.agent_build import AgentImage
from guest_tests.agent_errors import AgentCommandFailed, AgentCrashed, AgentLost, AgentTimeout
from guest_tests.agent_numbers import Fault, Op, SlotState, Stage
from guest_tests.tests.agent_guests import AgentGuest, agent_guest
from qemu_patches import QemuBinary

pytest_plugins = ["host_ctl.tests.qemu_fixtures", "guest_tests.tests.agent_guests"]


@pytest.mark.parametrize(
    ("kind", "vector", "function", "file"),
    [
        (Fault.INVALID_OPCODE, 6, "fault_raise", "crash.c"),
        (Fault.PAGE, 14, "fault_raise", "io.h"),
        (Fault.STACK, 14, "fault_raise", "crash.c"),
    ],
)
async def test_crash_is_reported_with_its_source_line(
    agent: AgentGuest, kind: Fault, vector: int, function: str, file: str
) -> None:
    with pytest.raises(AgentCrashed) as caught:
        await agent.link.fault(kind)
    report = caught.value.report
    assert (report.vector, report.op, report.was_message) == (vector, Op.FAULT, False)
    assert (report.where.function, Path(report.where.file).name) == (function, file)
    assert report.where.line > 0
    assert agent.link.stage is Stage.CRASHED


async def test_page_fault_names_its_address(agent: AgentGuest) -> None:
    with pytest.raises(AgentCrashed, match=r"#PF page fault at address 0x100000000 \(error code 0x2\) in fault_raise"):
        await agent.link.fault(Fault.PAGE)


async def test_stack_overflow_stops_at_the_code(agent: AgentGuest) -> None:
    with pytest.raises(AgentCrashed) as caught:
        await agent.link.fault(Fault.STACK)
    assert 0x3FF000 <= caught.value.report.cr2 < 0x400000


async def test_crash_ends_waits_that_are_under_way_and_later_commands(agent: AgentGuest) -> None:
    waiting = asyncio.create_task(agent.link.wait_slot(0, SlotState.PRESENT, 60))
    await asyncio.sleep(0)
    with pytest.raises(AgentCrashed):
        await agent.link.fault(Fault.INVALID_OPCODE)
    with pytest.raises(AgentCrashed):
        await waiting
    with pytest.raises(AgentCrashed):
        await agent.link.nop()


async def test_agent_that_hangs_is_reported_with_its_command(agent: AgentGuest) -> None:
    with pytest.raises(AgentTimeout, match=r"FAULT on slot 0 is unanswered after .* step ACCESS, progress 0\)"):
        await agent.link.fault(Fault.HANG)


async def test_command_after_a_hang_names_the_one_that_hangs(agent: AgentGuest) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await agent.link.fault(Fault.HANG)
    with pytest.raises(AgentTimeout, match="the earlier FAULT on slot 0 is still unanswered"):
        await agent.link.fault(Fault.HANG)


async def test_triple_fault_ends_the_guest(agent: AgentGuest) -> None:
    # Whichever comes first: QEMU's end, or the answer of the next boot, which QEMU may reach before it is killed.
    with pytest.raises((AgentLost, AgentCommandFailed), match=r"it reset itself|RESET in step"):
        await agent.link.fault(Fault.TRIPLE)
    death = await asyncio.wait_for(agent.guest.died, 10)
    assert "it reset itself" in death.reason
    with pytest.raises(AgentLost, match="it reset itself"):
        await agent.link.nop()


async def test_triple_fault_is_another_boot_where_the_guest_lives_on(
    qemu: QemuBinary, folder: Path, agent_image: AgentImage
) -> None:
    async with agent_guest(qemu, folder, agent_image, reset_is_death=False) as agent:
        await agent.link.ready()
        faulting = asyncio.create_task(agent.link.fault(Fault.TRIPLE))
        assert (await agent.link.ready(after_boot=1)).boot == 2
        with pytest.raises(AgentCommandFailed, match="RESET"):
            await faulting


async def test_crash_of_an_earlier_boot_is_over_after_a_reset(agent: AgentGuest) -> None:
    with pytest.raises(AgentCrashed):
        await agent.link.fault(Fault.INVALID_OPCODE)
    await agent.guest.reset()
    await agent.link.ready(after_boot=1)
    await agent.link.nop()
