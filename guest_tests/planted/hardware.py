"""Defects of the hardware: places in the C core, which exist in the build with planted faults only (core/fault.h)."""

from __future__ import annotations

from collections.abc import Mapping

from guest_tests.planted.fault import Fault, Finding, Place
from host_ctl.interrupts import Organisation

_L, _P = Finding.LEAK, Finding.PROMISE
_TABLE, _QUEUE = Organisation.TABLE, Organisation.QUEUE
_EMPTIED = "a table that goes out of use is emptied, so a VM object that is not Valid leads to entries that nobody has requested"
_NO_ID: Mapping[Place, str] = {
    _TABLE: "no entry holds an ID that could be compared: where the work queue's VM_ID leads is all there is"
}

HARDWARE: tuple[Fault, ...] = (
    Fault(
        "pasid-check-skipped", "the device does not compare the entry's PASID", frozenset({_L, _P}), core_fault=1,
        impossible=_NO_ID,
    ),
    Fault(
        "pasid-enable-ignored",
        "the device takes an entry without PASID Enable for everybody's, and a VM object that is not Valid for one that is",
        frozenset({_L, _P}), core_fault=2, impossible={_TABLE: _EMPTIED},
    ),
    Fault(
        "check-after-execution", "the device checks the handle after it has executed the operation", frozenset({_P}),
        core_fault=3,
    ),
    Fault(
        "pending-on-refusal", "a refused interrupt sets Pending of the entry that it named", frozenset({_L, _P}),
        core_fault=4,
    ),
    Fault("mask-ignored", "a masked entry sends its message", frozenset({_L, _P}), core_fault=5),
    Fault(
        "handle-state-ignored", "the device takes handles that were released or never given", frozenset({_P}),
        core_fault=6,
    ),
    Fault(
        "batch-member-not-checked", "the device does not compare the entry's PASID for members of a batch",
        frozenset({_L, _P}), core_fault=7, impossible=_NO_ID,
    ),
    Fault(
        "bound-unchecked", "the device takes a handle behind the end of the array, of its VM's table, of the MSI-X table",
        frozenset({_L, _P}), core_fault=8,
        impossible={
            _QUEUE: "no bound to check: the 256 pointers of a queue's own directory, 256 entries each, are all handles there are"
        },
    ),
)  # fmt: skip
