"""What leads a guest to its entries, and whose they are, changed by the host while the guest goes on, in every organisation."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

from guest_tests.member import SLOT, Member
from guest_tests.rig import Rig
from host_ctl.host import Host
from host_ctl.interrupts import IdKind, Organisation, Subdevice, VectorBlock

_REQUEST_HANDLE = 13 << 20
_OBJECTS, _STRIDE, _OBJECT_CONTROL = 0x10000, 16, 8
"""VM objects of a store with tables."""


@contextlib.asynccontextmanager
async def taken_away(rig: Rig, member: Member, other: Member) -> AsyncIterator[None]:
    """Within, what the guest's handles lead to is not its own: entries have another's PASID, or its VM object is not Valid."""
    if rig.host.parts.domain.store.ORGANISATION is Organisation.TABLE:
        async with _without_object(rig, member):
            yield
    else:
        with _owned_by(member, other):
            yield


@contextlib.contextmanager
def _owned_by(member: Member, other: Member) -> Iterator[None]:
    own = member.device.subdevice
    _give(member, other.device.subdevice)
    try:
        yield
    finally:
        _give(member, own)


def _give(member: Member, owner: Subdevice) -> None:
    for interrupt in member.device.interrupts:
        interrupt.owner = owner
        interrupt.unmask()


@contextlib.asynccontextmanager
async def _without_object(rig: Rig, member: Member) -> AsyncIterator[None]:
    """A table that becomes Valid again is at its reset values: it is programmed anew, and the guest requests its handles."""
    mdev, device = member.device, rig.host.device
    assert mdev.subdevice.owner_id is not None
    control = rig.host.parts.chip.ims_base + _OBJECTS + mdev.subdevice.owner_id * _STRIDE + _OBJECT_CONTROL
    messages = [interrupt.message for interrupt in mdev.interrupts]
    device.write(control, 0)
    try:
        yield
    finally:
        device.write(control, 1)
        for interrupt, message in zip(mdev.interrupts, messages, strict=True):
            interrupt.program(*message)
        for vector in member.vectors:
            await member.link.command(SLOT, _REQUEST_HANDLE | vector)


@contextlib.contextmanager
def used_up(host: Host, vectors: int) -> Iterator[bool]:
    """Within, the store has no room for another mdev with so many vectors; yields whether it can be used up at all."""
    with contextlib.ExitStack() as undo:
        if host.parts.domain.available(vectors) is None:
            yield False
            return
        wq = host.parts.chip.allocate_wq()
        undo.callback(host.parts.chip.free_wq, wq)
        number = 0
        while host.parts.domain.available(vectors):
            number += 1
            _fill(host, f"filler {number}", wq, vectors, undo)
        yield True


def _fill(host: Host, name: str, wq: int, vectors: int, undo: contextlib.ExitStack) -> VectorBlock:
    domain = host.parts.domain
    ids = host.parts.pasids if domain.store.facts.id_kind is IdKind.PASID else host.parts.vm_ids
    owner = Subdevice(name, ids.allocate(), wq)
    assert owner.owner_id is not None
    undo.callback(ids.free, owner.owner_id)
    block = domain.allocate_block(owner, vectors)
    undo.callback(domain.free_block, block)
    return block
