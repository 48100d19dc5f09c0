"""Negative controls: defects and mistakes planted on purpose, each of which the scenarios have to notice.

Defects of the hardware exist in a build of the C core that is made here and ships nowhere (core/fault.h); mistakes of the
host are parts of its control software that have been replaced by wrong ones. Neither can be switched on in a package.
"""

from __future__ import annotations

import enum
import importlib.util
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from device_model import build_core
from device_model.device import Vdev, VdevConfig
from host_ctl.errors import HostError
from host_ctl.host import Host
from host_ctl.interrupts import FACTS, IdKind, Interrupt, Organisation, Store, Subdevice
from host_ctl.interrupts.entries import EntryStore
from host_ctl.interrupts.queue import Page, QueueSpace, QueueStore
from host_ctl.interrupts.store import Place, Share, Space
from host_ctl.interrupts.table import TableSpace, TableStore
from host_ctl.mdev import describe
from host_ctl.mdev_type import MdevType
from host_ctl.physical import PhysicalDevice
from host_ctl.remapping import RemapEntry, RemappingTable

MODULE = "_vdsa_planted"


class Finding(enum.StrEnum):
    """What can show that something is wrong."""

    LEAK = "leak"
    """The verdict's evidence holds a leak."""
    PROMISE = "promise"
    """A scenario saw its promise broken."""
    DUE = "due"
    """An interrupt that was due did not arrive, or arrived twice."""
    LEDGER = "ledger"
    """The device's ledger and the guests' counters differ."""
    RESOURCES = "resources"
    """Something was not given back, or not wiped."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to plant: in the core (`core_fault`, enum planted_fault) or in the host's parts (`plant`).

    `shown_by`: the findings of which at least one must appear; any other does not count as caught.
    `stores`: organisations that can have this fault; where an entry holds no owner, none can be compared wrongly.
    """

    id: str
    planted: str
    shown_by: frozenset[Finding]
    core_fault: int = 0
    plant: Callable[[Host], None] = lambda host: None
    stores: frozenset[Organisation] = frozenset(Organisation)
    withholds: bool = False
    """Guests do not get interrupts that are due to them: they are not waited for as long as usual."""


# ---- mistakes of the host ----


class _ForgetsEntries(EntryStore):
    """Takes entries back as they are."""

    def _clear(self, entry: int) -> None:
        """Forgotten."""


class _ForgetsTables(TableStore):
    """Leaves the VM object of a VM that has gone as it is, and its work queue with it."""

    def _cut(self, space: TableSpace) -> None:
        """Forgotten."""


class _ForgetsStorage(QueueStore):
    """Frees storage that the work queue still leads to."""

    def _cut(self, wq: int) -> None:
        """Forgotten."""


class _GivesEntriesTwice(EntryStore):
    """Gives the entry that it gave out last to the next block as well."""

    def _take(self, space: Space) -> Place:
        if self.places and len(self.places) % 2 == 0:
            entry = max(self.places)
            return Place(entry, entry, space)
        return super()._take(space)

    def _give_back(self, place: Place) -> None:
        if place.entry in place.space.share.used:
            super()._give_back(place)


class _GivesTablesTwice(TableStore):
    """Leads a second VM to the table that it made last."""

    _last: int | None = None

    def _take_table(self, owner: Subdevice, share: Share) -> int:
        own = super()._take_table(owner, share)
        table, self._last = (own, own) if self._last is None else (self._last, None)
        if table != own:
            share.give_back(own)
        return table

    def _give_table_back(self, share: Share, table: int) -> None:
        if table in share.used:
            super()._give_table_back(share, table)


class _GivesPagesTwice(QueueStore):
    """Leads a second work queue to the page of entries that it made last."""

    def __init__(self, chip: PhysicalDevice, mdev_vectors: int) -> None:
        super().__init__(chip, mdev_vectors)
        self._last: Page | None = None
        self._links: Counter[int] = Counter()

    def _grow(self, space: QueueSpace, number: int) -> Page:
        if number in space.pages:
            return space.pages[number]
        if self._last is None:
            self._last = super()._grow(space, number)
        else:
            space.pages[number], self._last = Page(self._last.address), None
            self._link(space, number, space.pages[number].address | 1)
        self._links[space.pages[number].address] += 1
        return space.pages[number]

    def _free_page(self, address: int) -> None:
        self._links[address] -= 1
        if self._links[address] <= 0:
            super()._free_page(address)

    def update(self, entry: int, clear: int, set_: int) -> None:
        if entry in self.places:  # else the other owner has taken it back
            super().update(entry, clear, set_)


class _MisdirectingTable(RemappingTable):
    """Points the entry of every second vector at the virtual device before it."""

    _earlier: Vdev | None = None
    _latest: Vdev | None = None

    def allocate(self, vdev: Vdev, vector: int) -> RemapEntry:
        if vdev is not self._latest:
            self._earlier, self._latest = self._latest, vdev
        return super().allocate(self._earlier if self._earlier is not None else vdev, vector)


def _plant_store(mistakes: Mapping[Organisation, type[Store]]) -> Callable[[Host], None]:
    """The mistake that suits the store, put over the class of the host's own."""

    def plant(host: Host) -> None:
        right = host.parts.domain
        mistake = mistakes[right.store.ORGANISATION]
        kind: type[Store] = type(mistake.__name__, (mistake, type(right.store)), {})
        host.parts.domain = type(right)(kind(host.parts.chip, right.store.part))

    return plant


_FORGETS = {
    Organisation.ARRAY: _ForgetsEntries, Organisation.TABLE: _ForgetsTables,
    Organisation.QUEUE: _ForgetsStorage, Organisation.MSIX: _ForgetsEntries,
}  # fmt: skip
_GIVES_TWICE = {
    Organisation.ARRAY: _GivesEntriesTwice, Organisation.TABLE: _GivesTablesTwice,
    Organisation.QUEUE: _GivesPagesTwice, Organisation.MSIX: _GivesEntriesTwice,
}  # fmt: skip


def _plant_remapping(host: Host) -> None:
    host.parts.remapping = _MisdirectingTable(host.device)


def _plant_foreign_handles(host: Host) -> None:
    """Request Interrupt Handle answers with handles of the mdev composed before; where all have the same, with the next ones."""
    before: list[Sequence[Interrupt]] = []
    local = host.parts.domain.store.facts.local_handles

    def wrong(kind: MdevType, mdev_id: int, wq: int, size: int, own: Sequence[Interrupt], eventfd: bool) -> VdevConfig:
        config = describe(kind, mdev_id, wq, size, own, eventfd)
        before.append(own)
        if len(before) == 1:
            return config
        handles = [interrupt.handle + local for interrupt in before[-2]]
        return replace(
            config, vectors=tuple((entry, handles[i % len(handles)]) for i, (entry, _) in enumerate(config.vectors))
        )

    host.parts.describe = wrong


_OWNER_BESIDE_ENTRY = frozenset(organisation for organisation, facts in FACTS.items() if facts.id_kind is IdKind.PASID)
"""Stores that compare an ID which stands beside each entry."""
_OWNER_ONLY_BESIDE_ENTRY = frozenset(o for o in _OWNER_BESIDE_ENTRY if not FACTS[o].local_handles)
"""And in which nothing else keeps owners apart: where a handle leads to its owner's entries only, it changes nothing."""
_L, _P, _D, _R = Finding.LEAK, Finding.PROMISE, Finding.DUE, Finding.RESOURCES

FAULTS: tuple[Fault, ...] = (
    Fault(
        "pasid-check-skipped",
        "the device does not compare the entry's PASID",
        frozenset({_L}),
        core_fault=1,
        stores=_OWNER_ONLY_BESIDE_ENTRY,
    ),
    Fault(
        "pasid-enable-ignored",
        "the device takes an entry without PASID Enable for everybody's",
        frozenset({_L, _P}),
        core_fault=2,
        stores=_OWNER_BESIDE_ENTRY,
    ),
    Fault(
        "check-after-execution",
        "the device checks the handle after it has executed the operation",
        frozenset({_P}),
        core_fault=3,
    ),
    Fault(
        "pending-on-refusal",
        "a refused interrupt sets Pending of the victim's entry",
        frozenset({_L, _P}),
        core_fault=4,
    ),
    Fault("mask-ignored", "a masked entry sends its message", frozenset({_L, _P}), core_fault=5),
    Fault(
        "handle-state-ignored",
        "the device takes handles that were released or never given",
        frozenset({_P}),
        core_fault=6,
    ),
    Fault(
        "batch-member-not-checked",
        "the device does not compare the entry's PASID for members of a batch",
        frozenset({_L}),
        core_fault=7,
        stores=_OWNER_ONLY_BESIDE_ENTRY,
    ),
    Fault(
        "slot-not-cleared",
        "the host frees entries without wiping them, or what leads to them",
        frozenset({_R, _P}),
        plant=_plant_store(_FORGETS),
    ),
    Fault(
        "slot-given-twice",
        "the host gives one entry, table or page to two mdevs",
        frozenset({_L, _D, _P}),
        plant=_plant_store(_GIVES_TWICE),
        withholds=True,
    ),
    Fault(
        "remap-elsewhere",
        "remapping entries of an mdev point at another VM",
        frozenset({_L}),
        plant=_plant_remapping,
        withholds=True,
    ),
    Fault(
        "foreign-handle-returned",
        "the guest gets the handles of another mdev",
        frozenset({_P, _D}),
        plant=_plant_foreign_handles,
        withholds=True,
    ),
)


# ---- the build with places for defects ----


def planted_core(cache: Path) -> ModuleType:
    """The core with FAULT() places, built below `cache` or found there. HostError: the compiler failed, with its words."""
    sources = [*build_core.c_sources(), *build_core.c_sources(".h"), Path(build_core.__file__)]
    made_for = f"{sys.implementation.cache_tag} {sys.prefix} {sysconfig.get_config_var('CC')}".encode()
    digest = sha256(b"".join([made_for, *(path.read_bytes() for path in sources)])).hexdigest()[:16]
    folder = cache / f"planted-{digest}"
    found = next(folder.glob(f"{MODULE}*.so"), None) or _build(cache, folder)
    spec = importlib.util.spec_from_file_location(MODULE, found)
    if spec is None or spec.loader is None:
        raise HostError(f"{found} is no extension module: remove {folder} and try again")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(cache: Path, folder: Path) -> Path:
    """Under another name first: an interrupted build is never mistaken for a whole one."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="planted-building-", dir=cache) as scratch:
        try:
            made = Path(build_core.make_ffi(MODULE, planted=True).compile(tmpdir=scratch))
        except Exception as error:  # distutils and cffi raise many kinds
            raise HostError(f"the core with planted faults could not be built: {error}") from error
        folder.mkdir(exist_ok=True)
        target = folder / made.name
        made.replace(target)
    return target
