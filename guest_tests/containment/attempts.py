"""Handles as a hostile guest would compute them: in each organisation those that would reach another's entry, if anything did."""

from __future__ import annotations

from guest_tests.containment.scene import VECTORS, Scene
from guest_tests.member import SLOT, Member
from host_ctl.interrupts import Organisation
from host_ctl.interrupts.organisation import PAGE_ENTRIES

REQUEST_HANDLE, RELEASE_HANDLE = 13 << 20, 14 << 20
_BITS = 0xFFFF


def foreign(scene: Scene, attacker: Member) -> list[int]:
    """Of the other guests' entries: their numbers; from the beginning of its own table; in pages that its directory lacks."""
    others = [m.device for m in scene.members if m is not attacker and m.mdev is not None]
    entries = [interrupt.entry for mdev in others for interrupt in mdev.interrupts]
    if scene.organisation is Organisation.TABLE:
        first = attacker.device.interrupts[0].entry - attacker.device.interrupts[0].handle
        return [(entry - first) & _BITS for entry in entries]
    if scene.organisation is Organisation.QUEUE:
        return [page * PAGE_ENTRIES + handle for page in (1, 255) for handle in others[0].handles]
    return entries


def beyond(scene: Scene, attacker: Member) -> list[int]:
    """Behind the last handle, so that a device which does not look at the bound comes to the others' entries."""
    size = {
        Organisation.ARRAY: scene.host.parts.chip.num_ims,
        Organisation.MSIX: scene.host.parts.chip.num_msix,
    }.get(scene.organisation)
    handles = foreign(scene, attacker)
    return handles if size is None else [handle + size for handle in handles]


def unused(scene: Scene) -> list[int]:
    """Entries and indices that nobody was given, near those that somebody was."""
    given = {handle for mdev in scene.host.mdevs.values() for handle in mdev.handles}
    bound = max(given) + 6
    return [handle for handle in range(bound) if handle not in given]


async def release(member: Member, vector: int) -> int:
    """Has the guest release the handle of a vector; returns it."""
    assert await member.link.command(SLOT, RELEASE_HANDLE | vector) == 0, "the device did not release a handle"
    return member.device.handles[vector - 1]


async def request(member: Member) -> None:
    """Has the guest request all its handles again."""
    for vector in range(1, VECTORS + 1):
        await member.link.command(SLOT, REQUEST_HANDLE | vector)
