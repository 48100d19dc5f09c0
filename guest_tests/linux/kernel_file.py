"""The kernel's file: a bzImage as it is packaged, or, where that takes seconds to unpack in a guest, what it has in it.

Format: Documentation/arch/x86/boot.rst of Linux. The ELF file inside is booted by its PVH entry.
"""

from __future__ import annotations

import lzma
import struct

_SETUP_SECTORS, _MAGIC, _VERSION, _PAYLOAD = 0x1F1, 0x202, 0x206, 0x248
_SINCE_PAYLOAD = 0x208
_XZ, _ELF = b"\xfd7zXZ\x00", b"\x7fELF"


def unpacked(kernel: bytes) -> bytes:
    """The ELF file in a bzImage that is packed by xz; anything else as it is. TCG takes 5 s for what takes half a one here."""
    if len(kernel) < _PAYLOAD + 8 or kernel[_MAGIC : _MAGIC + 4] != b"HdrS":
        return kernel
    if struct.unpack_from("<H", kernel, _VERSION)[0] < _SINCE_PAYLOAD:
        return kernel
    offset, length = struct.unpack_from("<II", kernel, _PAYLOAD)
    start = (kernel[_SETUP_SECTORS] + 1) * 512 + offset
    payload = kernel[start : start + length]
    if not payload.startswith(_XZ):
        return kernel
    # Behind it stands its unpacked size, which is no part of the xz stream.
    elf = lzma.LZMADecompressor().decompress(payload)
    return elf if elf.startswith(_ELF) else kernel
