"""Rows of group hardware: defects of the device's own check, each planted alone and provoked on real guests."""

from __future__ import annotations

from guest_tests.containment.attempts import beyond, foreign, release, request, unused
from guest_tests.containment.row import Row, everywhere
from guest_tests.containment.scene import Scene
from host_ctl.interrupts import Organisation

_ARRAY, _TABLE, _QUEUE, _MSIX = Organisation.ARRAY, Organisation.TABLE, Organisation.QUEUE, Organisation.MSIX


async def _foreign(scene: Scene) -> None:
    await scene.enter(*scene.members)
    await scene.attempt_handles(scene.subject, foreign(scene, scene.subject))
    await scene.fire_all()


async def _foreign_in_batch(scene: Scene) -> None:
    await scene.enter(*scene.members)
    for handle in foreign(scene, scene.subject):
        await scene.batch_ran(scene.subject, [scene.firing(scene.subject, handle), scene.noop(scene.subject)])
    await scene.fire_all()


async def _disarmed(scene: Scene) -> None:
    """The state between the two halves of taking interrupts away, and then that after it, while the VM goes on. Both VMs'
    interrupts are taken, for where a guest can only name its own, its own must be in that state.
    """
    await scene.enter(*scene.members)
    both = [*scene.victim.device.interrupts, *scene.subject.device.interrupts]
    for interrupt in both:
        interrupt.disarm()
    own = scene.subject.device.handles
    await scene.attempt_handles(scene.subject, [*foreign(scene, scene.subject), *own])
    for interrupt in both:
        interrupt.unmask()
    for member in (scene.victim, scene.subject):
        await request(member)
    await scene.settle()
    await scene.fire_all()
    await scene.take_storage(scene.subject)
    await scene.attempt_handles(scene.subject, [*foreign(scene, scene.subject), *own])
    await scene.fire(scene.victim, scene.witness)


async def _moves(scene: Scene) -> None:
    await scene.enter(*scene.members)
    handles = foreign(scene, scene.subject)
    await scene.attempt(scene.subject, [scene.moving(scene.subject, handle) for handle in handles])
    await scene.fire_all()


async def _masked_and_refused(scene: Scene) -> None:
    """At the masked entries of others, and at its own whose handles it has released."""
    await scene.enter(*scene.members)
    both = [*scene.victim.device.interrupts, *scene.subject.device.interrupts]
    for interrupt in both:
        interrupt.mask()
    own = [await release(scene.subject, vector) for vector in scene.subject.vectors]
    await scene.attempt_handles(scene.subject, [*foreign(scene, scene.subject), *own])
    for interrupt in both:
        interrupt.unmask()
    await request(scene.subject)
    await scene.settle()
    await scene.fire_all()


async def _masked(scene: Scene) -> None:
    await scene.enter(*scene.members)
    interrupts = scene.subject.device.interrupts
    for interrupt in interrupts:
        interrupt.mask()
    await scene.fire(scene.subject)
    for interrupt in interrupts:
        interrupt.unmask()
    await scene.settle()
    await scene.fire_all()


async def _released(scene: Scene) -> None:
    await scene.enter(*scene.members)
    own = [await release(scene.subject, vector) for vector in scene.subject.vectors]
    await scene.attempt_handles(scene.subject, [*own, *unused(scene), *foreign(scene, scene.subject)])
    await request(scene.subject)
    await scene.fire_all()


async def _beyond(scene: Scene) -> None:
    await scene.enter(*scene.members)
    await scene.attempt_handles(scene.subject, beyond(scene, scene.subject))
    await scene.fire_all()


_OWN_POINTERS = "a guest can name nothing but what its own work queue's directory leads to"
_ONE_COMPARISON = "the comparison is all that keeps owners apart"

HARDWARE_ROWS = (
    Row("pasid-check-skipped", "Check skipped", "The device does not compare the PASID in the entry.", _foreign,
        everywhere(_ONE_COMPARISON, queue=_OWN_POINTERS)),
    Row("batch-member-not-checked", "Check skipped in batches", "The device does not compare the PASID for members of a batch.",
        _foreign_in_batch, everywhere(_ONE_COMPARISON, queue=_OWN_POINTERS)),
    Row("check-after-execution", "Check after execution", "The device checks the handle when the operation has been executed.",
        _moves, everywhere("the operation works in the memory of the VM that asked for it, and in no other")),
    Row("pasid-enable-ignored", "Enable bit ignored",
        "The device takes an entry without PASID Enable for everybody's, and a VM object that is not Valid for one that is.",
        _disarmed,
        everywhere("an entry that is being taken away is open to everybody, and its message goes to its owner",
                   queue=f"{_OWN_POINTERS}; its own interrupts come though they have been taken away")),
    Row("bound-unchecked", "Bound unchecked", "The device takes a handle behind the end of the array or table.", _beyond,
        {_ARRAY: "the index wraps, and the comparison of the PASID still refuses what is another's",
         _TABLE: "behind a VM's table lies the next one's, and no entry says whose it is",
         _MSIX: "the vector wraps, and the comparison of the PASID still refuses what is another's"}),
    Row("handle-state-ignored", "Handle state ignored", "The device takes handles that were released or never given.", _released,
        everywhere("the PASID in the entry refuses what is another's; its own it can still fire",
                   table="its table is its own, released handles or not")),
    Row("pending-on-refusal", "Pending on refusal", "A refused interrupt sets Pending of the entry that it named.",
        _masked_and_refused,
        everywhere("the entry of another can be named, and sends its message when it is unmasked",
                   table="only entries of its own table can be named", queue=_OWN_POINTERS)),
    Row("mask-ignored", "Mask ignored", "A masked entry sends its message.", _masked,
        everywhere("the message is its owner's, sent while it should have waited")),
)  # fmt: skip
