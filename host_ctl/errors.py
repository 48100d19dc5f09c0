"""What can go wrong on the host's side. Every message says what happened and what to do about it."""

# ruff: noqa: N818 (the names say what happened: "raise GuestDied")

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path


class HostError(Exception):
    """Base of every error that the host software raises on purpose."""


class NoMemfd(HostError):
    """The kernel or the C library has no usable memfd."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"guest RAM needs a sealable memfd, and there is none here ({why}): "
            "run on Linux 3.17 or newer and allow memfd_create in the sandbox's system call filter"
        )


class SocketPathTooLong(HostError):
    """A UNIX socket's path does not fit sockaddr_un (107 bytes and a terminator, unix(7))."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(
            f"socket path {path} has {len(bytes(path))} bytes, a UNIX socket takes {limit}: "
            "choose a shorter run folder (XDG_RUNTIME_DIR) or a shorter name"
        )
        self.path = path


class AnotherRun(HostError):
    """Another live run holds the folder this one wants to write to."""

    def __init__(self, folder: Path, holder: str) -> None:
        super().__init__(f"{folder} is in use by another run ({holder}): wait for it, end it, or choose another folder")
        self.folder = folder
        self.holder = holder


def _log_lines(log_tail: Sequence[str]) -> str:
    return "\n".join(f"  | {line}" for line in log_tail) if log_tail else "  | (nothing)"


class QemuLaunchError(HostError):
    """QEMU did not come up. `command_line` is what was run, `log_tail` the last lines it wrote."""

    def __init__(self, name: str, what: str, command_line: Sequence[str], log_tail: Sequence[str]) -> None:
        super().__init__(
            f"guest {name}: QEMU did not start: {what}\n"
            f"  command line: {shlex.join(command_line)}\n  its log ends:\n{_log_lines(log_tail)}"
        )
        self.name = name
        self.what = what
        self.command_line = tuple(command_line)
        self.log_tail = tuple(log_tail)


class GuestDied(HostError):
    """A guest ended while somebody still needed it."""

    def __init__(self, name: str, reason: str, log_tail: Sequence[str] = ()) -> None:
        super().__init__(f"guest {name} is gone: {reason}\n  its log ends:\n{_log_lines(log_tail)}")
        self.name = name
        self.reason = reason
        self.log_tail = tuple(log_tail)

    def again(self) -> GuestDied:
        """An equal exception with a traceback of its own, so that each waiter can raise one."""
        return GuestDied(self.name, self.reason, self.log_tail)


class MonitorError(HostError):
    """The monitor could not be used. `command` is the QMP command that met it."""

    def __init__(self, command: str, text: str) -> None:
        super().__init__(f"QMP {command}: {text}")
        self.command = command
        self.text = text


class CommandRefused(MonitorError):
    """QEMU answered a command with an error. `error_class` is QMP's, `text` QEMU's own words."""

    def __init__(self, command: str, error_class: str, text: str) -> None:
        super().__init__(command, text)
        self.error_class = error_class


class MonitorTimeout(MonitorError):
    """QEMU did not answer in time; it may still carry the command out."""

    def __init__(self, command: str, limit_s: float) -> None:
        super().__init__(
            command,
            f"no answer in {limit_s:g} s. QEMU's main loop is held up, as by a vfio-user server that does not reply",
        )


class MonitorLost(MonitorError):
    """The connection to the monitor ended."""

    def __init__(self, command: str) -> None:
        super().__init__(command, "the connection is closed, QEMU has ended or is ending")


class EventTimeout(MonitorError):
    """An event that was due did not arrive in time."""

    def __init__(self, event: str, limit_s: float) -> None:
        super().__init__(event, f"the event did not arrive in {limit_s:g} s")


class HotplugError(HostError):
    """A device could not be plugged or unplugged; `text` is QEMU's reason, `advice` what to do."""

    def __init__(self, guest: str, command: str, device_id: str, text: str, advice: str) -> None:
        super().__init__(f"guest {guest}: {command} {device_id}: {text} ({advice})")
        self.command = command
        self.device_id = device_id
        self.text = text
        self.advice = advice


class GuestDidNotEject(HotplugError):
    """The guest was asked to give a device up and has not done so in time. The request stays pending."""

    def __init__(self, guest: str, device_id: str, limit_s: float, doing: str = "") -> None:
        self.limit_s = limit_s
        super().__init__(
            guest,
            "device_del",
            device_id,
            f"the guest did not eject the device in {limit_s:g} s" + (f", it {doing}" if doing else ""),
            "it may be busy or crashed; unplug() again goes on waiting, close() ends the guest",
        )
