"""The agent boots by itself, obeys, sleeps when there is nothing to do, and survives a reset."""

import asyncio
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest_tests.agent_build import AgentImage
from guest_tests.agent_errors import AgentCommandFailed, AgentLost, AgentTimeout
from guest_tests.agent_numbers import Op, Result, SlotState, Stage, Step
from guest_tests.agent_results import Item
from guest_tests.guests import boots
from guest_tests.tests.agent_guests import AgentGuest, Doorbells, agent_guest
from host_ctl.tests.real_qemu import open_fds
from qemu_patches import QemuBinary

pytest_plugins = ["host_ctl.tests.qemu_fixtures", "guest_tests.tests.agent_guests"]


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Nothing is given back because cycles happen to be collected."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def read_clock(agent: AgentGuest) -> tuple[float, int, float]:
    """The agent's clock, between two readings of the host's (in seconds): it has been read between these."""
    loop = asyncio.get_running_loop()
    asked = loop.time()
    await agent.link.nop()
    return asked, agent.link.answered_at, loop.time()


@pytest.mark.parametrize("ports", [1, 8])
async def test_agent_is_ready_with_all_its_ports(
    qemu: QemuBinary, folder: Path, agent_image: AgentImage, ports: int
) -> None:
    async with agent_guest(qemu, folder, agent_image, ports=ports) as agent:
        ready = await agent.link.ready()
        assert (ready.boot, ready.slots) == (1, ports)
        assert agent.link.stage is Stage.READY
        slots = [agent.link.slot(i) for i in range(ports)]
        assert [slot.state for slot in slots] == [SlotState.EMPTY] * ports
        assert [slot.devfn >> 3 for slot in slots] == list(range(1, ports + 1))


async def test_guest_without_ports_is_ready(qemu: QemuBinary, folder: Path, agent_image: AgentImage) -> None:
    async with agent_guest(qemu, folder, agent_image, ports=0) as agent:
        assert (await agent.link.ready()).slots == 0
        await agent.link.nop()


async def test_guest_that_was_started_to_try_an_accelerator_has_given_all_back(
    qemu: QemuBinary, folder: Path, agent_image: AgentImage, without_collector: None
) -> None:
    before = open_fds()
    booted = await boots("tcg", agent_image, qemu, folder)

    assert booted
    assert open_fds() == before


async def test_commands_of_many_tasks_do_not_mix(agent: AgentGuest, doorbells: Doorbells) -> None:
    await doorbells.plug(agent, 0)
    offsets = range(0, 64, 4)
    await asyncio.gather(*(agent.link.mmio_write(0, 2, offset, offset * 257) for offset in offsets))
    values = await asyncio.gather(*(agent.link.mmio_read(0, 2, offset) for offset in offsets))
    assert values == [offset * 257 for offset in offsets]


async def test_agents_clock_runs_at_the_hosts_pace(agent: AgentGuest) -> None:
    tsc_khz = (await agent.link.ready()).tsc_khz
    asked, told, answered = await read_clock(agent)
    await asyncio.sleep(0.2)
    asked_again, told_again, answered_again = await read_clock(agent)
    elapsed_s = (told_again - told) / tsc_khz / 1000
    assert 0.9 * (asked_again - answered) <= elapsed_s <= 1.1 * (answered_again - asked)


async def test_idle_agent_uses_no_cpu(agent: AgentGuest) -> None:
    before = cpu_seconds(agent.guest.process.pid)
    await asyncio.sleep(1.0)
    assert cpu_seconds(agent.guest.process.pid) - before <= 0.05


async def test_unknown_command_is_refused(agent: AgentGuest) -> None:
    with pytest.raises(AgentCommandFailed, match="NO_DEVICE") as caught:
        await agent.link.mmio_read(3, 0, 0)
    assert (caught.value.op, caught.value.result) == (Op.MMIO_READ, Result.NO_DEVICE)


@pytest.mark.parametrize(
    ("bar", "offset", "size"),
    [(2, 0x4000, 4), (2, 2, 4), (2, 0, 3), (2, 0, 16), (5, 0, 4), (6, 0, 4), (2, 2**64 - 4, 4)],
)
async def test_access_outside_a_bar_is_refused(
    agent: AgentGuest, doorbells: Doorbells, bar: int, offset: int, size: int
) -> None:
    await doorbells.plug(agent, 0)
    with pytest.raises(AgentCommandFailed, match="BAD_ARGUMENT"):
        await agent.link.mmio_read(0, bar, offset, size)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
async def test_mmio_of_every_size_reaches_the_device(agent: AgentGuest, doorbells: Doorbells, size: int) -> None:
    await doorbells.plug(agent, 0)
    value = 0x8877665544332211 & ((1 << 8 * size) - 1)
    await agent.link.mmio_write(0, 2, 0x100, value, size)
    assert doorbells.memory[0x100:0x108] == value.to_bytes(8, "little")
    assert await agent.link.mmio_read(0, 2, 0x100, size) == value


async def test_configuration_space_is_read_and_written(agent: AgentGuest) -> None:
    await agent.plug("edu", "edu0", 1)
    assert await agent.link.config_read(1, 0, 4) == 0x11E81234
    assert await agent.link.config_read(1, 2, 2) == 0x11E8
    await agent.link.config_write(1, 0x3C, 0x5A, 1)
    assert await agent.link.config_read(1, 0x3C, 1) == 0x5A
    with pytest.raises(AgentCommandFailed, match="BAD_ARGUMENT"):
        await agent.link.config_read(1, 4096, 4)


async def test_reset_boots_again_and_forgets_nothing_of_the_hosts(agent: AgentGuest, doorbells: Doorbells) -> None:
    await doorbells.plug(agent, 0)
    await agent.link.enable(0, 3, steps=(Step.MSIX,))
    doorbells.ring(1)
    vector = agent.link.vector_base(0) + 1
    await agent.link.wait_count(vector, 1)
    agent.link.memory(agent.link.scratch[0], 4)[:] = b"kept"

    await agent.guest.reset()
    ready = await agent.link.ready(after_boot=1)

    assert ready.boot == 2
    assert bytes(agent.link.memory(agent.link.scratch[0], 4)) == b"kept"
    assert agent.link.slot(0).state is SlotState.PRESENT
    assert agent.link.slot(0).vector_count == 0
    assert agent.link.counters().count[vector] == 1
    await agent.link.enable(0, 3, steps=(Step.MSIX,))
    doorbells.ring(1)
    await agent.link.wait_count(vector, 2)


async def test_command_cut_off_by_a_reset_says_so(agent: AgentGuest, doorbells: Doorbells) -> None:
    await doorbells.plug(agent, 0)
    item = Item(bytes(64), wait_completion=False)
    spinning = asyncio.create_task(agent.link.spin(0, item, portal=0, maximum=2**60))
    await agent.link.wait_progress(1)
    await agent.guest.reset()
    with pytest.raises(AgentCommandFailed) as caught:
        await spinning
    assert caught.value.result is Result.RESET
    await agent.link.ready(after_boot=1)
    await agent.link.nop()


async def test_end_of_qemu_ends_every_wait(agent: AgentGuest) -> None:
    waiting = asyncio.create_task(agent.link.wait_slot(0, SlotState.PRESENT, 60))
    await asyncio.sleep(0)
    agent.guest.process.kill()
    with pytest.raises(AgentLost):
        await waiting
    with pytest.raises(AgentLost):
        await agent.link.nop()


async def test_silence_names_what_was_waited_for(agent: AgentGuest) -> None:
    problem = r"slot 2 is EMPTY \(generation \d+\), not PRESENT after 0.05 s \(boot 1, stage READY"
    with pytest.raises(AgentTimeout, match=problem):
        await agent.link.wait_slot(2, SlotState.PRESENT, 0.05)


async def test_guest_without_our_agent_times_out(
    qemu: QemuBinary, folder: Path, agent_image: AgentImage, tmp_path: Path
) -> None:
    halting = tmp_path / "halting.bin"
    halting.write_bytes(bytes(0xFFF0) + bytes.fromhex("faf4ebfd").ljust(16, b"\0"))  # cli, hlt, and again
    async with agent_guest(qemu, folder, AgentImage(agent_image.elf, halting)) as agent:
        with pytest.raises(AgentTimeout, match=r"the agent is not ready after 0.05 s \(boot 0, stage NONE"):
            await agent.link.ready(0.05)
