"""What the device model raises."""

from __future__ import annotations

import os


class DeviceError(Exception):
    """The device or the transport refused: the message says what and why."""


def check(result: int, what: str) -> None:
    """DeviceError, if the library answered with a negative errno."""
    if result < 0:
        raise DeviceError(f"{what}: {os.strerror(-result)}")
