"""Rows of group host: mistakes of the host's software, each planted alone and provoked on real guests."""

from __future__ import annotations

from guest_tests.containment.attempts import foreign
from guest_tests.containment.row import Row, everywhere
from guest_tests.containment.scene import Scene
from host_ctl.interrupts import Organisation, Scope, Subdevice

_ARRAY, _TABLE, _QUEUE, _MSIX = Organisation.ARRAY, Organisation.TABLE, Organisation.QUEUE, Organisation.MSIX
_LARGE = 128
"""Vectors of an mdev that parts are made for where there shall be two of them."""
_NOT_A_PASID = 0xFFFFF


async def _all_try_all(scene: Scene) -> None:
    """Everybody fires its own, and tries the others': a mistake may open the way from either side. They come one after the other,
    for where two have one work queue, each one's reset stops it for both.
    """
    for member in scene.members:
        await scene.enter(member)
    await scene.fire_all()
    for member in scene.members:
        await scene.attempt_handles(member, foreign(scene, member))
    await scene.fire_all()


async def _all_fire(scene: Scene) -> None:
    await scene.enter(*scene.members)
    await scene.fire_all()


async def _all_fire_again(scene: Scene) -> None:
    """And again when the host has had each one's entries in hand: two owners of one slot take it from each other then."""
    await scene.enter(*scene.members)
    await scene.fire_all()
    await scene.reopen_and_fire(*scene.members)


async def _in_flight(scene: Scene) -> None:
    """One descriptor is between its check and its message, when the mdev goes and the next one comes. Behind it are one with an
    interrupt and no DMA, and one with DMA and no interrupt.
    """
    old, new = scene.subject, scene.witness
    await scene.enter(scene.victim, old)
    handles = old.device.handles
    scene.tried += await scene.hold_first(old)
    behind = [scene.firing(old, handles[1], record=False), scene.noop(old)]
    scene.tried += await scene.submit(old, behind)
    await scene.hold.unplug(old)
    await scene.enter(new)
    scene.hold.end()
    await scene.settle()
    await scene.fire_all()


async def _not_cleared(scene: Scene) -> None:
    """The old owner leaves an interrupt pending in an entry that the host has masked."""
    old, new = scene.subject, scene.witness
    await scene.enter(scene.victim, old)
    for interrupt in old.device.interrupts:
        interrupt.mask()
    await scene.attempt_handles(old, old.device.handles)
    await scene.hold.unplug(old)
    await scene.enter(new)
    await scene.fire_all()


async def _freed_while_referenced(scene: Scene) -> None:
    """The host takes the interrupts of a VM away that goes on running, and the next VM gets their storage."""
    old, new = scene.subject, scene.witness
    await scene.enter(scene.victim, old)
    handles = old.device.handles
    await scene.take_storage(old)
    await scene.enter(new)
    await scene.attempt_handles(old, handles)
    await scene.fire(scene.victim, new)


async def _exhausted(scene: Scene) -> None:
    """The store is full when a third mdev is to be made."""
    victim, other, newcomer = scene.members
    scene.subjects = {newcomer.index}
    await scene.enter(victim, other)
    domain = scene.host.parts.domain
    left = domain.available(1)
    if left and domain.SCOPE is Scope.DEVICE and scene.organisation in (_ARRAY, _MSIX):
        domain.allocate_block(Subdevice("what is left", owner_id=_NOT_A_PASID), left)
    if await scene.create(newcomer):
        await scene.rig.attach(newcomer)
    await scene.fire_all()
    await scene.reopen_and_fire(victim, other)


_LAST_ONE = (
    "who programs it last has it, and the other is refused; when the host opens it for the other, that one's PASID stands beside "
    "the first one's message in the"
)

HOST_ROWS = (
    Row("wrong-id-programmed", "Wrong ID programmed", "The host programs the PASID or VM_ID of another VM as the owner's.",
        _all_try_all,
        {_ARRAY: "the other VM is taken for the owner of entries whose messages go to this one",
         _TABLE: "the VM's work queue leads to the other's table",
         _QUEUE: "the VM's own entries refuse it, and the other's work queue does not lead to them",
         _MSIX: "the other VM is taken for the owner of vectors whose messages go to this one"}),
    Row("wrong-pasid-in-queue", "Wrong PASID in WQCFG", "The host programs the PASID of another VM into a work queue.",
        _all_try_all,
        everywhere("its descriptors run as the other VM's: handles and DMA. That is more than an interrupt",
                   table="its interrupts stay its own, for a PASID does not lead to them, but its DMA is the other VM's",
                   queue="its interrupts are refused, but its DMA is the other VM's")),
    Row("freed-without-drain", "Slot freed without drain",
        "The host frees entries and gives them to the next VM while the old owner's work queue goes on.", _in_flight,
        {_ARRAY: "the check was made before the entry changed hands, and the message is taken from it afterwards",
         _TABLE: "the device looks again before it sends: the work queue leads to no table any more",
         _QUEUE: "the device looks again before it sends: the work queue leads to no directory any more",
         _MSIX: "the check was made before the vector changed hands, and the message is taken from it afterwards"}),
    Row("id-reused-in-flight", "ID reused in flight",
        "The host gives the PASID or VM_ID to the next VM while descriptors of the old one are in its queue.", _in_flight,
        everywhere("with the PASID the new VM's entries and memory are open to the old descriptors",
                   table="with the VM_ID the old work queue leads to the new VM's table",
                   queue="interrupts find no directory, but with the PASID the DMA goes to the new VM's memory")),
    Row("slot-given-twice", "Slot given twice", "A domain deals one slot out twice, to whomever it serves.", _all_fire_again,
        {(_ARRAY, Scope.DEVICE): f"{_LAST_ONE} entry",
         (_ARRAY, Scope.VM): "a VM's domain has nothing but this VM's part to deal from",
         _TABLE: "slots are indices of one VM's own table", _QUEUE: "slots are indices of one queue's own storage",
         _MSIX: f"{_LAST_ONE} vector"}),
    Row("part-given-twice", "Part given twice",
        "The host gives a part of the store that one VM has (of an array, a table, a page) to another.", _all_fire_again,
        {_ARRAY: f"{_LAST_ONE} entry",
         _TABLE: "two work queues lead to one table, and no entry of it says whose it is",
         _QUEUE: f"two work queues lead to one page; {_LAST_ONE} entry"}),
    Row("foreign-handle-returned", "Wrong handle returned", "The guest is told the handles of another mdev.", _all_try_all,
        everywhere("a handle is no right: the device checks whoever uses it")),
    Row("foreign-portal-mapped", "Wrong portal mapped", "The guest gets the portal of another mdev's work queue.",
        _all_try_all,
        everywhere("its descriptors are the other VM's: handles, and DMA into its memory. That is more than an interrupt")),
    Row("remap-elsewhere", "Remapping points elsewhere", "Remapping entries of an mdev lead to another VM.", _all_fire,
        everywhere("behind the store there is nothing that knows whose message it is")),
    Row("slot-not-cleared", "Entry not cleared",
        "The host frees entries without wiping them, and an interrupt is pending there.", _not_cleared,
        everywhere("what was pending is sent when the next owner's message is in the entry")),
    Row("freed-while-referenced", "Storage freed while in use",
        "The host frees a VM's storage while its work queue still leads there, and the next VM gets it.",
        _freed_while_referenced,
        {_TABLE: "the old work queue leads to the new VM's table, and no entry of it says whose it is",
         _QUEUE: "the old work queue leads to the new VM's pages, and the PASID in each entry refuses it. "
                 "With the PASID check skipped as well it would be a leak"}),
    Row("exhaustion-is-slot-0", "Exhaustion taken for slot 0",
        "The host takes \"there is none left\" for slot 0 (or part 0, table 0) and gives that to the next mdev.", _exhausted,
        {_ARRAY: f"entries of the first VM are programmed for the newcomer; {_LAST_ONE} entry",
         _TABLE: "the newcomer's work queue leads to the first VM's table, which is reset and programmed anew",
         _MSIX: "vector 0 is the device's own: no virtual device can be made with it"},
        mdev_vectors=_LARGE),
)  # fmt: skip
