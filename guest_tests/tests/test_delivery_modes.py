"""Both ways into a VM on a stock QEMU: the message that the device writes itself, and the eventfd that QEMU registers."""

from __future__ import annotations

import pytest

from guest_tests.agent_errors import AgentCrashed, AgentLost
from guest_tests.agent_numbers import Fault
from guest_tests.rig import assert_refused
from guest_tests.session import Session
from guest_tests.tests.own_rig import own_rig
from host_ctl.account_summary import AccountSummary

VECTORS = 3


def delivered(summary: AccountSummary) -> set[tuple[int | None, int | None]]:
    """Pairs (fired by, received by) of the ledger."""
    return {(sender, receiver) for (sender, receiver, _), count in summary.injected.items() if count}


@pytest.mark.parametrize("eventfd", [False, True], ids=["message", "eventfd"])
async def test_every_vector_arrives_and_forged_handles_are_refused_in_both_delivery_modes(
    session: Session, eventfd: bool
) -> None:
    async with own_rig(session, eventfd=eventfd) as rig:
        async with rig.silence("both ways"):
            for member in rig.members:
                await rig.fire(member, member.vectors)
            refused = await rig.attempt_handles(rig.members[0], rig.foreign_handles(rig.members[0]))
        summary = rig.record.summary()

    assert_refused(refused)
    assert delivered(summary) == {(0, 0), (1, 1)}


async def test_guest_that_triple_faults_is_named_and_its_neighbour_goes_on(session: Session) -> None:
    async with own_rig(session) as rig:
        broken, neighbour = rig.members
        with pytest.raises(AgentLost):
            await broken.link.fault(Fault.TRIPLE)
        await rig.fire(neighbour, neighbour.vectors)
        problem, fine = broken.problem(), neighbour.problem()

    assert problem is not None
    assert "triple fault" in problem
    assert fine is None


async def test_agent_that_crashes_is_named_with_function_file_and_line(session: Session) -> None:
    async with own_rig(session) as rig:
        with pytest.raises(AgentCrashed):
            await rig.members[1].link.fault(Fault.PAGE)
        problem = rig.members[1].problem()

    assert problem is not None
    assert "page fault" in problem
    assert "in fault_raise (" in problem
