"""What some QEMUs can do and others cannot, and how it is known of one without trying.

A QEMU built here says it itself: its --version has (vdsa-<key>+<capability>+...) after the number. The rest is known by
version.
"""

import re

from qemu_patches.binary import Version

MSIX_UNPLUG = "msix-unplug"
"""Survives the unplug of a vfio-user-pci device whose MSI-X it manages."""
MSIX_PBA = "msix-pba"
"""Shows the guest what is pending at a vector that the guest has masked, in MSI-X that it manages."""
DMA_COUNT64 = "dma-count64"
"""Its vfio-user client has the 64-bit count of the protocol in DMA_READ and DMA_WRITE."""
MOVDIR64B = "movdir64b"
"""Has MOVDIRI and MOVDIR64B under TCG."""
FAST_UNPLUG = "fast-unplug"
"""DEVICE_DELETED does not wait for the next look at RCU readers, which is up to 10 ms away."""

KNOWN = frozenset({MSIX_UNPLUG, MSIX_PBA, DMA_COUNT64, MOVDIR64B, FAST_UNPLUG})
EVENTFD = frozenset({MSIX_UNPLUG, MSIX_PBA})
"""What delivery mode `eventfd` needs."""

_DMA_COUNT64_SINCE: Version = (11, 1, 0)
_PACKAGE = re.compile(r"^QEMU emulator version \S+ \(vdsa-[0-9a-f]+((?:\+[a-z0-9-]+)*)\)", re.MULTILINE)


def capabilities(version: Version, printed: str) -> frozenset[str]:
    """What a QEMU of this version can do, which printed this when asked for its --version. Unknown words are dropped."""
    found = _PACKAGE.search(printed)
    told = frozenset(found[1].split("+")) & KNOWN if found else frozenset()
    return told | {DMA_COUNT64} if version >= _DMA_COUNT64_SINCE else told


def package_version(key: str, able: frozenset[str]) -> str:
    """What a QEMU is configured with (--with-pkgversion) so that capabilities() knows what it can do."""
    return "+".join([f"vdsa-{key}", *sorted(able)])
