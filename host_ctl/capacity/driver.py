"""Drives a device from C: fires interrupts one by one, each with its time, and repeats what the host wrote into one entry."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import device_model
from device_model.device import Device
from host_ctl.errors import HostError

SOURCE = Path(device_model.__file__).parent / "bench" / "store_fire.c"
_FLAGS = ("-std=c17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-shared", "-fPIC")
_FUNCTIONS = {
    "submit": "idxd_submit",
    "step": "idxd_engine_step",
    "bar0_write": "idxd_bar0_write",
    "memory_write": "host_memory_write",
    "request_handle": "store_request_handle",
}


class MeasurementFailed(HostError):  # noqa: N818
    """A measurement could not be made, or what was measured is not what was meant."""


class Shot(NamedTuple):
    """A descriptor that asks for an interrupt: its work queue, and the handle in it."""

    wq: int
    handle: int


class Words(ctypes.Structure):
    """struct words: what an entry holds."""

    _fields_ = (("address", ctypes.c_uint64), ("data", ctypes.c_uint32), ("control", ctypes.c_uint32))


class _Shot(ctypes.Structure):
    _fields_ = (("wq", ctypes.c_uint32), ("handle", ctypes.c_uint32))


class _Way(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in ("idxd", "store", "memory", *_FUNCTIONS))


@functools.cache
def load_driver() -> ctypes.CDLL:
    """Compiles bench/store_fire.c and loads it. MeasurementFailed: there is no compiler, or it failed."""
    with tempfile.TemporaryDirectory(prefix="vdsa-") as folder:
        library = Path(folder) / "store_fire.so"
        command = ["gcc", *_FLAGS, "-o", str(library), str(SOURCE)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise MeasurementFailed(f"fire cannot be timed without a C compiler ({error}): install gcc") from error
        if done.returncode != 0:
            raise MeasurementFailed(f"{' '.join(command)} failed:\n{done.stderr}")
        return ctypes.CDLL(str(library))


class Driver:
    """One device, driven. Its engines are stepped, not run by threads: the device is made with run_engine=False."""

    def __init__(self, library: ctypes.CDLL, device: Device, *, msix: bool) -> None:
        """msix: handles are taken by the MSI-X portals, else by the IMS portals (9.3)."""
        own = {name: device.address_of(name) for name in ("idxd", "store", "memory")}
        self._way = ctypes.byref(_Way(**own, **{name: device.address_of(function) for name, function in _FUNCTIONS.items()}))
        self._library = library
        self._portal = 0 if msix else 1

    def fire(self, shots: Sequence[Shot]) -> array[int]:
        """Nanoseconds of each, from the store to the portal until its message has left the device.

        MeasurementFailed: the device did not process a descriptor.
        """
        times = array("I", bytes(4 * len(shots)))
        targets = (_Shot * len(shots))(*(_Shot(*shot) for shot in shots))
        left = self._library.fire_shots(self._way, self._portal, targets, len(shots), _pointer(times))
        if left:
            raise MeasurementFailed(f"{left} of {len(shots)} descriptors were not processed by the device")
        return times

    def request_handles(self, entries: array[int]) -> None:
        """What guests do for each of their entries. MeasurementFailed: an entry is none of the store's."""
        if missing := self._library.request_handles(self._way, _pointer(entries), len(entries)):
            raise MeasurementFailed(f"the store has no place for {missing} of {len(entries)} entries")

    def program_registers(self, offset: int, count: int, words: Words) -> None:
        """`count` entries of 16 bytes, one after another from `offset` in BAR0, get these words."""
        self._library.program_registers(self._way, ctypes.c_uint64(offset), count, ctypes.byref(words))

    def program_memory(self, entries: array[int], words: Words) -> None:
        """Entries in host memory get these words. MeasurementFailed: there is no memory for one of them."""
        if missing := self._library.program_memory(self._way, _pointer(entries), len(entries), ctypes.byref(words)):
            raise MeasurementFailed(f"host memory has no place for {missing} of {len(entries)} entries")


def _pointer(numbers: array[int]) -> ctypes.c_void_p:
    return ctypes.c_void_p(numbers.buffer_info()[0])
