"""The C unit tests of the transport: each program is built with a sanitizer and run."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

from device_model.tests.protocol_rig import ASAN, C_TESTS, TSAN, build_c, sources

PROGRAMS = [
    ("test_json", ASAN, 4),
    ("test_wire", ASAN, 10),
    ("test_outbox", ASAN, 11),
    ("test_dma_map", ASAN, 15),
    ("test_dma_map", TSAN, 15),
    ("test_irq", ASAN, 6),
    ("test_outbox_threads", ASAN, 1),
    ("test_outbox_threads", TSAN, 1),
    ("test_server_threads", ASAN, 3),
    ("test_server_threads", TSAN, 3),
]


@pytest.mark.parametrize(("name", "flags", "tests"), PROGRAMS, ids=[f"{p[0]}-{p[1][0][12:18]}" for p in PROGRAMS])
def test_c_unit_tests_pass_under_sanitizers(name: str, flags: tuple[str, ...], tests: int) -> None:
    files = [C_TESTS / f"{name}.c", C_TESTS / "plain_vdev.c", *sources("transport")]
    program = build_c(f"{name}-{flags[0][12:18]}", files, flags)

    with tempfile.TemporaryDirectory(prefix="vdsa-") as folder:
        command = [str(program), str(Path(folder) / "s.sock")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == tests, done.stdout
