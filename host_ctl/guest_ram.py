"""The RAM of one guest: memory that QEMU, the device model and the host see alike."""

from __future__ import annotations

import fcntl
import mmap
import os
from types import TracebackType
from typing import Self

from host_ctl.errors import NoMemfd

_SEALS = ("F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_SEAL")


class GuestRam:
    """`size` bytes of shared memory behind a memfd, zeroed; no name in any file system, so nothing outlives the run.

    The size is sealed: nobody who is given the descriptor can shrink the file under another's mapping (SIGBUS) or
    add a seal that takes write access away.

    `fd` is the descriptor to pass on (close-on-exec), `map` the host's own read-write mapping.
    Raises ValueError for a size that is not a positive multiple of the page size, NoMemfd where there is no memfd.
    """

    def __init__(self, size: int) -> None:
        if size <= 0 or size % mmap.PAGESIZE:
            raise ValueError(f"guest RAM of {size} bytes: not a positive multiple of {mmap.PAGESIZE}")
        self.size = size
        self.fd = _sealed_memfd(size)
        try:
            self.map = mmap.mmap(self.fd, size)
        except BaseException:
            os.close(self.fd)
            raise
        self._open = True

    def close(self) -> None:
        """Gives the descriptor and the mapping back. Idempotent.

        Where somebody still holds a memoryview of `map`, the mapping goes with the last view. There is no `map` any more then.
        """
        if not self._open:
            return
        self._open = False
        os.close(self.fd)
        try:
            self.map.close()
        except BufferError:
            del self.map  # else it would go with this object, and a guest is part of cycles

    @property
    def closed(self) -> bool:
        """True once close() was called."""
        return not self._open

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _sealed_memfd(size: int) -> int:
    if not hasattr(os, "memfd_create"):
        raise NoMemfd("this Python was built without os.memfd_create")
    try:
        fd = os.memfd_create("guest-ram", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        raise NoMemfd(os.strerror(error.errno or 0)) from error
    try:
        os.ftruncate(fd, size)
        seals = 0
        for name in _SEALS:
            seals |= getattr(fcntl, name)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return fd
