"""A QEMU that is known to work, and the least it has to be."""

from collections.abc import Mapping
from dataclasses import dataclass

Version = tuple[int, int, int]

# Up to 10.2 the vfio-user client writes a 32-bit count into DMA_READ and DMA_WRITE where the protocol has 64 bits,
# which shifts the data by four bytes.
MINIMUM_VERSION: Version = (11, 1, 0)
PROGRAM = "qemu-system-x86_64"
CLIENT_DEVICE = "vfio-user-pci"


@dataclass(frozen=True, slots=True)
class QemuBinary:
    """A QEMU to be started as `argv` + options, in the caller's environment with `env` added.

    `argv` is one word for an installed QEMU; for an unpacked one it is loader, library path, binary and `-L` folders.
    `origin` is "$QEMU", "system", "cache" (a stock one) or "patched". `capabilities`: see capability.py.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    version: Version
    origin: str
    capabilities: frozenset[str] = frozenset()


def version_text(version: Version) -> str:
    """(11, 1, 3) as "11.1.3"."""
    return ".".join(str(part) for part in version)
