"""The patched QEMU for tests that need one: $QEMU_PATCHED, else the cache's; without either they are skipped, with the reason."""

import pytest

from qemu_patches import QemuBinary
from qemu_patches.find import named_qemu
from qemu_patches.patched import PatchedQemuMissing, find_patched, own_patched
from qemu_patches.store import default_folder


def patched_or_skip() -> QemuBinary:
    """Raises QemuUnavailable for a $QEMU_PATCHED that will not do: what was asked for is never passed over."""
    own = own_patched()
    if own is not None:
        return named_qemu(own)
    try:
        return find_patched(default_folder())
    except PatchedQemuMissing as error:
        pytest.skip(str(error))
