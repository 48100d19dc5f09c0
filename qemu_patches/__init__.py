"""Which QEMU the guests run in, and how it is got.

`find_qemu()` answers with a `QemuBinary`: the words a command line starts with, and what to add to its environment.
"""

from qemu_patches.binary import QemuBinary
from qemu_patches.errors import QemuUnavailable
from qemu_patches.find import build_patched, find_qemu

__all__ = ["QemuBinary", "QemuUnavailable", "build_patched", "find_qemu"]
