"""Fixtures of the tests with a real QEMU; a test module takes them by `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from host_ctl.run_folder import RunFolder
from qemu_patches import QemuBinary, find_qemu


@pytest.fixture(scope="session")
def qemu() -> QemuBinary:
    """The QEMU that the product itself would take."""
    return find_qemu()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A run folder for one test."""
    with RunFolder() as run:
        yield run.path
