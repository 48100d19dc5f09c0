"""An error of the host says what happened and what to do."""

from pathlib import Path

import pytest

from host_ctl import errors
from host_ctl.errors import (
    AnotherRun,
    GuestDidNotEject,
    GuestDied,
    HostError,
    MonitorTimeout,
    NoMemfd,
    QemuLaunchError,
    SocketPathTooLong,
)


@pytest.mark.parametrize(
    ("error", "what_to_do"),
    [
        (NoMemfd("no such call"), "run on Linux 3.17 or newer"),
        (SocketPathTooLong(Path("/x"), 107), "choose a shorter run folder"),
        (AnotherRun(Path("/reports"), "pid 5"), "wait for it, end it, or choose another folder"),
        (GuestDidNotEject("g0", "dsa0", 5.0), "unplug() again goes on waiting"),
        (MonitorTimeout("query-status", 5.0), "a vfio-user server that does not reply"),
    ],
)
def test_message_says_what_to_do(error: HostError, what_to_do: str) -> None:
    assert what_to_do in str(error)


def test_every_error_can_be_caught_as_one_kind() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert all(issubclass(kind, HostError) for kind in kinds if issubclass(kind, Exception))


def test_launch_errors_command_line_can_be_pasted_into_a_shell() -> None:
    error = QemuLaunchError("g0", "exit status 1", ("qemu", "-name", "a b"), ())
    assert "command line: qemu -name 'a b'\n" in str(error)


def test_silent_log_is_said_to_be_silent() -> None:
    assert str(GuestDied("g0", "closed")).endswith("| (nothing)")


def test_death_that_is_told_again_is_equal_and_another_object() -> None:
    first = GuestDied("g0", "QEMU ended", ("last words",))
    again = first.again()
    assert str(again) == str(first)
    assert again is not first
