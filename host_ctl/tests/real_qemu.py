"""What the tests with a real QEMU share: guests of a few instructions, and looks at processes and descriptors."""

from __future__ import annotations

import os
from pathlib import Path

from host_ctl.guest_command import GuestSpec

_STUB_SIZE = 0x10000
_RESET_VECTOR = 0xFFF0
_HALT = bytes.fromhex("fa f4 eb fd")  # cli; hlt; jmp back
# lidt cs:[0xfff8], which is all zero: a table without entries; int3 then faults, faults on that, and resets the CPU.
_TRIPLE_FAULT = bytes.fromhex("2e 0f 01 1e f8 ff cc")


def _stub(folder: Path, name: str, code: bytes) -> Path:
    image = bytearray(_STUB_SIZE)
    image[_RESET_VECTOR : _RESET_VECTOR + len(code)] = code
    path = folder / name
    path.write_bytes(image)
    return path


def halting(folder: Path, name: str = "halted", **fields: object) -> GuestSpec:
    """A guest that halts at its first instruction and handles no interrupt."""
    return _booting(_stub(folder, "halt.bin", _HALT), name, fields)


def triple_faulting(folder: Path, name: str = "faulty", **fields: object) -> GuestSpec:
    """A guest whose second instruction is a triple fault."""
    return _booting(_stub(folder, "fault.bin", _TRIPLE_FAULT), name, fields)


def _booting(stub: Path, name: str, fields: dict[str, object]) -> GuestSpec:
    extra = ("-bios", str(stub), *fields.pop("extra", ()))  # type: ignore[misc]
    return GuestSpec(name=name, extra=extra, **fields)  # type: ignore[arg-type]


def open_fds() -> set[str]:
    """The descriptors of this process, as number and target."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {entry.readlink()}")
        except FileNotFoundError:
            continue  # the descriptor that the listing itself used
    return found


def file_names(folder: Path) -> list[str]:
    """What is in `folder`, in order."""
    return sorted(path.name for path in folder.iterdir())


def is_running(pid: int) -> bool:
    """Whether there is such a process, a zombie included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
