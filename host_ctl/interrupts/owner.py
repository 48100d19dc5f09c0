"""Whom interrupts are allocated for, and what an allocation is refused with."""

from __future__ import annotations

from dataclasses import dataclass

from host_ctl.errors import HostError


class NoOwnerId(HostError):  # noqa: N818
    """Interrupts were asked for a subdevice that has no ID yet."""


class HasBlock(HostError):  # noqa: N818
    """A subdevice asked for a second block: the size of an mdev's MSI-X table is decided once, when it is made."""


class StoreExhausted(HostError):  # noqa: N818
    """The store, or a domain's part of it, has no place for what was asked for. Nothing was taken."""


class StoreRefused(HostError):  # noqa: N818
    """The hardware did not take what the host wrote, or has something there that the host knows nothing of."""


@dataclass(slots=True)
class Subdevice:
    """What interrupts are allocated for. The ID is stored here *before* that: an entry never exists without an owner.

    owner_id: PASID or VM_ID, as the store takes; opaque to domains. wq: its work queue, where the store hangs on it.
    """

    name: str
    owner_id: int | None = None
    wq: int | None = None
