"""What a patched QEMU is made of besides its source and our patches: options, devices, the machine's packages.

All of it is in the key a build is kept under, so that a change here makes a new build.
"""

CONFIGURE = (
    "--target-list=x86_64-softmmu",
    "--without-default-features",
    "--without-default-devices",
    "--with-devices-x86_64=vdsa",
    "--enable-system",
    "--enable-tcg",
    "--enable-kvm",
    "--enable-plugins",
    "--disable-docs",
    "--disable-fdt",
    "--disable-download",
    "--disable-install-blobs",
    "--disable-tools",
    "--disable-guest-agent",
    "--disable-debug-info",
    # Warnings stay on; these two are errors, since what they warn of crashes on a 64-bit machine.
    "--extra-cflags=-Werror=implicit-function-declaration -Werror=int-conversion",
)

# PXB and the two CXL ones are used by nobody here: without them some versions do not link.
DEVICES = (
    "Q35", "HPET", "PCIE_PORT", "VIRTIO_PCI", "VIRTIO_SERIAL", "VIRTIO_BLK", "VIRTIO_RNG", "ISA_DEBUG", "VTD",
    "VFIO_PCI", "VFIO_USER", "EDU", "IVSHMEM_DEVICE", "PXB", "CXL", "CXL_MEM_DEVICE",
)  # fmt: skip

FIRMWARE = (
    "bios-256k.bin", "bios.bin", "kvmvapic.bin", "linuxboot_dma.bin", "multiboot_dma.bin", "pvh.bin",
)  # fmt: skip
"""Taken from the stock QEMU, whose source package does not hold them in a form that can be used."""

PYTHON_TOOLS = ("meson>=1.5", "ninja")
"""From PyPI into an environment of the build: distributions of two years ago have a meson that is too old."""

PACKAGES = {
    "gcc": "gcc",
    "libc6-dev": "",
    "patch": "patch",
    "pkg-config": "pkg-config",
    "dpkg-dev": "dpkg-source",
    "xz-utils": "xz",
    "libglib2.0-dev": "glib-2.0",
    "zlib1g-dev": "zlib",
}
"""Debian's name of a package -> program it has, or module of pkg-config; empty: it comes with the one before."""

PKG_CONFIG_MODULES = ("glib-2.0", "zlib")


def text() -> str:
    """All of it, for the key."""
    return repr((CONFIGURE, DEVICES))
