"""Mistakes of the host's software: parts of it that have been replaced by wrong ones."""

from __future__ import annotations

from guest_tests.planted.fault import Fault, Finding
from guest_tests.planted.host_parts import (
    plant_foreign_handles,
    plant_foreign_pasid,
    plant_foreign_portal,
    plant_id_reuse,
    plant_no_drain,
    plant_remapping,
)
from guest_tests.planted.host_stores import (
    ForgetsEntries,
    ForgetsQueues,
    ForgetsTables,
    GivesHandleTwice,
    GivesPageTwice,
    GivesPartTwice,
    GivesSlotTwice,
    GivesTableTwice,
    TakesNoneForEntry0,
    TakesNoneForPart0,
    TakesNoneForTable0,
    TellsWrongId,
    everywhere,
    replace_store,
)
from host_ctl.interrupts import Organisation, Scope

_L, _P, _D, _R, _A = Finding.LEAK, Finding.PROMISE, Finding.DUE, Finding.RESOURCES, Finding.LEDGER
_ARRAY, _TABLE, _QUEUE, _MSIX = Organisation.ARRAY, Organisation.TABLE, Organisation.QUEUE, Organisation.MSIX
_NOTHING_LEADS_THERE = "nothing leads to an entry but its number: there is no pointer that could be left behind"
_NO_PARTS = "one central domain over single entries: nothing is dealt out in parts"

HOST: tuple[Fault, ...] = (
    Fault(
        "wrong-id-programmed",
        "the host programs the PASID or VM_ID of another VM as the owner of an mdev's entries",
        frozenset({_L, _D, _P}), plant=replace_store(everywhere(TellsWrongId)),
    ),
    Fault(
        "wrong-pasid-in-queue", "the host programs the PASID of another VM into an mdev's WQCFG",
        frozenset({_L, _D, _P}), plant=plant_foreign_pasid,
    ),
    Fault(
        "freed-without-drain", "the host frees the entries of an mdev, and gives them to the next, while its queue goes on",
        frozenset({_L, _A}), plant=plant_no_drain,
    ),
    Fault(
        "id-reused-in-flight",
        "the host gives the PASID or VM_ID of an mdev to the next while descriptors of the old one are in its queue",
        frozenset({_L, _A}), plant=plant_id_reuse,
    ),
    Fault(
        "slot-given-twice", "a domain deals one slot out twice, to whom it serves", frozenset({_L, _D, _P}),
        plant=replace_store(
            {_ARRAY: GivesSlotTwice, _TABLE: GivesHandleTwice, _QUEUE: GivesHandleTwice, _MSIX: GivesSlotTwice}
        ),
    ),
    Fault(
        "part-given-twice", "the host gives the part of the store that one VM has (of an array, a table, a page) to another",
        frozenset({_L, _D, _P}),
        plant=replace_store({_ARRAY: GivesPartTwice, _TABLE: GivesTableTwice, _QUEUE: GivesPageTwice}),
        impossible={(_ARRAY, Scope.DEVICE): _NO_PARTS, _MSIX: _NO_PARTS},
    ),
    Fault(
        "foreign-handle-returned", "the guest gets the handles of another mdev", frozenset({_P, _D}),
        plant=plant_foreign_handles,
    ),
    Fault(
        "foreign-portal-mapped", "the guest gets the portal of another mdev's work queue", frozenset({_L, _D}),
        plant=plant_foreign_portal,
    ),
    Fault(
        "remap-elsewhere", "remapping entries of an mdev point at another VM", frozenset({_L}), plant=plant_remapping,
        misdirects=True,
    ),
    Fault(
        "slot-not-cleared", "the host frees entries without wiping them", frozenset({_L, _R, _P}),
        plant=replace_store(everywhere(ForgetsEntries)),
        impossible={
            _TABLE: "wiping is not the host's step: the hardware puts a table to its reset values when it becomes Valid",
            _QUEUE: "wiping is not the domain's step: what is freed are pages, and a page that is given out is all zeros",
        },
    ),
    Fault(
        "freed-while-referenced", "the host frees a VM's storage while its work queue still leads there",
        frozenset({_L, _R}), plant=replace_store({_TABLE: ForgetsTables, _QUEUE: ForgetsQueues}),
        impossible={_ARRAY: _NOTHING_LEADS_THERE, _MSIX: _NOTHING_LEADS_THERE},
    ),
    Fault(
        "exhaustion-is-slot-0", "the host takes \"there is none left\" for slot 0, and gives that to the next mdev",
        frozenset({_L, _D, _P}),
        plant=replace_store(
            {_ARRAY: TakesNoneForPart0, _TABLE: TakesNoneForTable0, _MSIX: TakesNoneForEntry0}
        ),
        impossible={
            _QUEUE: "memory is all that bounds it: no number of slots runs out, and a failed allocation has no number"
        },
    ),
)  # fmt: skip
