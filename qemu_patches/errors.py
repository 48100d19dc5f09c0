"""The one error this package lets out."""


class QemuUnavailable(Exception):  # noqa: N818
    """No usable QEMU could be had; the message says why, and what to do about it."""
