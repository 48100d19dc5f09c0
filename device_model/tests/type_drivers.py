"""What drivers do to a device, on the core rig: Linux's probe and binding, and the short set-up of user-space ones."""

from __future__ import annotations

from device_model.tests.core_rig import (
    ACTIVE,
    CMD,
    CMDSTATUS,
    CONFIG,
    GENCTRL,
    GENSTS,
    INTCAUSE,
    Cmd,
    GuestView,
)

VERSION, GENCAP, WQCAP, GRPCAP, ENGCAP, OPCAP, OFFSETS, CMDCAP = 0x00, 0x10, 0x20, 0x30, 0x38, 0x40, 0x60, 0xB0
GRPCFG_ENGINES, GRPCFG_FLAGS = 32, 40
CONFIGURABLE = 1 << 31


class Probed:
    """A device as a driver has found it, by its registers alone."""

    def __init__(self, guest: GuestView) -> None:
        self.guest = guest
        self.gencap = guest.read(GENCAP, 8)
        self.cmdcap = guest.read(CMDCAP) if self.gencap >> 4 & 1 else 0
        self.groups = guest.read(GRPCAP, 8) & 0xFF
        self.engines = guest.read(ENGCAP, 8) & 0xFF
        wqcap = guest.read(WQCAP, 8)
        self.total, self.wqs, self.wqcfg_size = wqcap & 0xFFFF, wqcap >> 16 & 0xFF, 32 << (wqcap >> 24 & 0xF)
        offsets = guest.read(OFFSETS, 8)
        self.grpcfg, self.wqcfg, self.perm = (
            (offsets & 0xFFFF) * 0x100,
            (offsets >> 16 & 0xFFFF) * 0x100,
            (offsets >> 32 & 0xFFFF) * 0x100,
        )
        self.ims = (offsets >> 48) * 0x100

    @property
    def configurable(self) -> bool:
        return bool(self.gencap & CONFIGURABLE)

    @property
    def limits(self) -> int:
        """Of the device: WQCFG dword 3."""
        return (self.gencap >> 16 & 0x1F) | (self.gencap >> 21 & 0xF) << 5

    def wq(self, wq: int, dword: int) -> int:
        """Where a dword of WQCFG is."""
        return self.wqcfg + self.wqcfg_size * wq + 4 * dword

    def group(self, group: int, wqs: int, engines: int, flags: int = 0) -> None:
        base = self.grpcfg + 64 * group
        self.guest.write(base, wqs, 8)
        self.guest.write(base + GRPCFG_ENGINES, engines, 8)
        self.guest.write(base + GRPCFG_FLAGS, flags, 8)

    def queue(self, wq: int, size: int, *, mode: int = 1 | 10 << 4, limits: int | None = None) -> None:
        self.guest.write(self.wq(wq, 0), size)
        self.guest.write(self.wq(wq, 1), 0)
        self.guest.write(self.wq(wq, 2), mode)
        self.guest.write(self.wq(wq, 3), self.limits if limits is None else limits)

    def configure(self, size: int | None = None) -> None:
        """All queues and engines in group 0, the size divided evenly; nothing, if the device is not configurable."""
        if not self.configurable:
            return
        self.group(0, (1 << self.wqs) - 1, (1 << self.engines) - 1)
        for wq in range(self.wqs):
            self.queue(wq, self.total // self.wqs if size is None else size)


def command(guest: GuestView, code: int, operand: int = 0) -> int:
    """With a completion interrupt, as Linux does once it has vector 0: CMDSTATUS, after INTCAUSE was seen and cleared."""
    before = guest.vectors()
    guest.write(CMD, code << 20 | operand | 1 << 31)
    status = guest.read(CMDSTATUS)
    vectors, cause = guest.vectors(), guest.read(INTCAUSE)
    guest.write(INTCAUSE, cause)
    assert (before, vectors, cause) == ([], [0], 2), f"command {code}: interrupts {before} {vectors}, INTCAUSE {cause:#x}"
    return status


def linux_probe(guest: GuestView) -> Probed:
    """In the order of idxd_pci_probe: the reset by polling, capabilities, tables, MSI-X, error interrupts."""
    guest.bus_master(True)
    guest.read(VERSION)
    assert guest.read(GENSTS) & 3 == 0
    guest.write(CMD, Cmd.RESET_DEVICE << 20)
    assert not guest.read(CMDSTATUS) & ACTIVE
    probed = Probed(guest)
    for word in range(4):
        guest.read(OPCAP + 8 * word, 8)
    if not probed.configurable:
        for wq in range(probed.wqs):
            mode = guest.read(probed.wq(wq, 2))
            assert mode & 1 and not mode >> 28 & 1, "a queue that is fixed has to be dedicated and without PASID"
    vectors = (guest.read(0x82, 2, CONFIG) & 0x7FF) + 1
    assert vectors == probed.wqs + 1, "one vector for each queue, and one for the device"
    for vector in range(vectors):
        guest.set_vector(vector)
    guest.msix_control()
    guest.write(GENCTRL, guest.read(GENCTRL) | 3)
    return probed


def linux_bind(probed: Probed) -> None:
    """Binds the device and its queue 0: configuration from what is there, then enabled, each by interrupt."""
    guest = probed.guest
    if probed.configurable:
        probed.group(0, 1, 1, 1 | 1 << 3)
        probed.queue(0, 16)
    assert command(guest, Cmd.ENABLE_DEVICE) == 0
    if probed.configurable:
        probed.group(0, 1, 1, 1 | 1 << 3)  # written again while enabled: ignored
        probed.queue(0, 16)
    assert command(guest, Cmd.ENABLE_WQ) == 0


def linux_handle(probed: Probed) -> int:
    """Of vector 1: by command if there is one, else the vector's number."""
    if not probed.cmdcap >> 13 & 1:
        return 1
    status = command(probed.guest, Cmd.REQUEST_HANDLE, 1)
    assert status & 0xFF == 0
    return status >> 8


def linux_unbind(probed: Probed, handle: int) -> None:
    """Drain, free, and as Linux does, release by handle; polled where it polls."""
    guest = probed.guest
    assert command(guest, Cmd.DRAIN_WQ, 1) == 0
    if probed.cmdcap >> 14 & 1:
        assert guest.command(Cmd.RELEASE_HANDLE, handle) == 0
    assert command(guest, Cmd.RESET_WQ, 1) == 0
    assert command(guest, Cmd.DISABLE_DEVICE) == 0
    if probed.configurable:
        assert command(guest, Cmd.RESET_DEVICE) == 0


def polled_set_up(guest: GuestView) -> Probed:
    """As user-space drivers do: reset, all engines and queue 0 in group 0, state written too, everything polled."""
    guest.bus_master(True)
    assert guest.command(Cmd.RESET_DEVICE) == 0
    probed = Probed(guest)
    probed.group(0, 1, (1 << probed.engines) - 1, 1 | 1 << 3)
    probed.queue(0, probed.total, mode=1 | 1 << 4)
    guest.write(probed.wq(0, 6), 1 << 30)  # the state is read-only: ignored
    assert guest.read(probed.wq(0, 6)) >> 30 == 0
    assert guest.command(Cmd.ENABLE_DEVICE) == 0
    assert guest.command(Cmd.ENABLE_WQ) == 0
    return probed
