"""Rows of group guest: what a hostile guest can try, nothing else being wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from guest_tests.agent_numbers import Step
from guest_tests.containment.attempts import beyond, foreign, release, request, unused
from guest_tests.containment.row import Row, everywhere
from guest_tests.containment.scene import Scene
from guest_tests.member import SLOT

_DUMMY_PORTALS = (0x2000, 0x3000)
"""Pages of the BAR that are no portal of the guest's queue (DSA specification 7.5.4)."""
_FLOOD = 100
"""Descriptors: a work queue has 64 places."""
_RESET_DEVICE = 5 << 20
_PCI_COMMAND, _MEMORY_AND_MASTER = 0x04, 6
_DEVICE_CONTROL, _FLR = 0x48, 1 << 15


async def _forged(scene: Scene) -> None:
    await scene.enter(*scene.members)
    await scene.attempt_handles(scene.subject, unused(scene))
    await scene.fire_all()


async def _stale(scene: Scene) -> None:
    """Its own, released; those of a guest that has gone."""
    await scene.enter(*scene.members)
    gone = foreign(scene, scene.subject)
    await scene.hold.unplug(scene.witness)
    own = await release(scene.subject, 1)
    await scene.attempt_handles(scene.subject, [own, *gone[-2:]])
    await request(scene.subject)
    await scene.enter(scene.witness)
    await scene.fire_all()


async def _foreign(scene: Scene) -> None:
    """Where the victim's handles are the same numbers as its own, it gives those up first."""
    await scene.enter(*scene.members)
    await scene.attempt_handles(scene.subject, foreign(scene, scene.subject))
    if scene.host.parts.domain.store.facts.local_handles:
        same = [await release(scene.subject, vector) for vector in scene.subject.vectors]
        await scene.attempt_handles(scene.subject, same)
        await request(scene.subject)
    await scene.fire_all()


async def _out_of_range(scene: Scene) -> None:
    await scene.enter(*scene.members)
    await scene.attempt_handles(scene.subject, [*beyond(scene, scene.subject), 0x7FFF, 0x8000, 0xFFFF])
    await scene.fire_all()


async def _in_batch(scene: Scene) -> None:
    await scene.enter(*scene.members)
    handles = foreign(scene, scene.subject)
    await scene.batch_ran(scene.subject, [scene.firing(scene.subject, handle) for handle in handles])
    await scene.fire_all()


async def _portal(scene: Scene) -> None:
    """Its own handles too: whatever these pages lead to must not take them either."""
    await scene.enter(*scene.members)
    handles = [*foreign(scene, scene.subject), *scene.subject.device.handles]
    for page in _DUMMY_PORTALS:
        await scene.attempt(scene.subject, [scene.firing(scene.subject, handle) for handle in handles], portal=page)
    await scene.fire_all()


async def _pasid(scene: Scene) -> None:
    await scene.enter(*scene.members)
    victim, subject = scene.victim.device, scene.subject
    forged = [scene.firing(subject, handle, pasid=victim.pasid) for handle in foreign(scene, subject)]
    await scene.attempt(subject, forged)
    await scene.fire_all()


async def _flood(scene: Scene) -> None:
    """The engine is held while its queue fills, so that how many find no place does not depend on the machine."""
    await scene.enter(*scene.members)
    await scene.fire_held(scene.subject)
    await scene.pour(scene.subject, _FLOOD)
    scene.hold.end()
    await scene.fire_all()


async def _reset(scene: Scene) -> None:
    """Device reset, then function-level reset, each while a descriptor of its own is between its check and its message."""
    await scene.enter(*scene.members)
    link = scene.subject.link
    await _reset_in_flight(scene, link.command(SLOT, _RESET_DEVICE))
    await _reset_in_flight(scene, link.config_write(SLOT, _DEVICE_CONTROL, _FLR, 2))
    await scene.fire_all()


async def _reset_in_flight(scene: Scene, reset: Coroutine[object, object, object]) -> None:
    subject = scene.subject
    await scene.fire_held(subject)
    begun = asyncio.create_task(reset)
    await scene.hold.until_draining(subject)
    scene.hold.end()
    await begun
    await scene.settle()
    await subject.link.config_write(SLOT, _PCI_COMMAND, _MEMORY_AND_MASTER, 2)
    await subject.link.enable(SLOT, scene.rig.vectors, steps=[Step.MSIX, Step.DEVICE, Step.WQ])
    await scene.attempt_handles(subject, subject.device.handles)
    await request(subject)


_REFUSED_BY = everywhere(
    "the PASID in the entry is not that of the guest's work queue",
    table="the guest's work queue leads to its own table alone, and the table's bound ends it",
    queue="the guest's work queue leads to its own directory alone, which has no such page",
)

GUEST_ROWS = (
    Row("forged-handles", "Forged handles", "The guest fires with interrupt handles that nobody was given.", _forged,
        everywhere("an entry that nobody has is not requested", table="the table has no more entries than its VM has vectors")),
    Row("stale-handles", "Stale handles",
        "The guest fires with a handle that it has released, and with those of a guest that has gone.", _stale,
        everywhere("an entry that is not requested is refused to everybody")),
    Row("foreign-handles", "Handles of other guests",
        "The guest fires with the handles of others, computed from where their entries are.", _foreign, _REFUSED_BY),
    Row("out-of-range-handles", "Handles out of range", "The guest fires with handles behind the last one.", _out_of_range,
        everywhere("the bound is checked", queue="the directory's pointer there is not valid")),
    Row("foreign-handles-in-batch", "Handles of others in a batch",
        "Members of a batch, which come from memory and not from a portal, name the handles of others.", _in_batch, _REFUSED_BY),
    Row("foreign-portals", "Foreign portals",
        "The guest stores descriptors to the pages of its BAR that are no portal of its work queue.", _portal,
        everywhere("nothing but its own portal's pages leads to a work queue, and that is its own")),
    Row("forged-pasid", "Forged PASID", "The guest writes the PASID of the victim into descriptors with its handles.", _pasid,
        everywhere("a dedicated queue runs with the PASID of its WQCFG: the descriptor's is not read",
                   table="a PASID does not come into it: the work queue's VM_ID leads to the table")),
    Row("flood", "Flood", f"The guest stores {_FLOOD} descriptors to a work queue of 64.", _flood,
        everywhere("what finds no place in its own queue is dropped; others have queues of their own, and turns of the engine")),
    Row("reset-races", "Reset races",
        "The guest resets its device and then its function while descriptors of its own are in flight.", _reset,
        everywhere("a reset drops what is in its own queue, and waits for what runs")),
)  # fmt: skip
