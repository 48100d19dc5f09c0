"""A program that is asked for its version cannot hold up the one who asks, and is not asked twice."""

import shutil
from pathlib import Path

import pytest

from qemu_patches.memory import Memory
from qemu_patches.probe import Probe, ProbeError, probe

ANSWER = Probe((11, 1, 3), has_client=True)


def never() -> Probe:
    raise AssertionError("asked again")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    found = shutil.which("true")
    assert found is not None
    return Path(shutil.copy(found, tmp_path / "qemu"))


def test_program_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    file = tmp_path / "qemu"
    file.write_text("#!/bin/sh\nexec sleep 600\n")
    file.chmod(0o755)

    with pytest.raises(ProbeError, match=r"does not end within 0\.2 s"):
        probe([str(file)], {}, seconds=0.2)


def test_answer_is_remembered(tmp_path: Path, program: Path) -> None:
    Memory(tmp_path / "probes.json").recall(program, lambda: ANSWER)

    assert Memory(tmp_path / "probes.json").recall(program, never) == ANSWER


def test_changed_program_is_asked_again(tmp_path: Path, program: Path) -> None:
    memory = Memory(tmp_path / "probes.json")
    memory.recall(program, lambda: Probe((10, 0, 0), has_client=True))
    with program.open("ab") as opened:
        opened.write(b"more")

    assert memory.recall(program, lambda: ANSWER) == ANSWER


def test_script_is_asked_each_time(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "probes.json")
    script = tmp_path / "qemu"
    script.write_text("#!/bin/sh\n")
    memory.recall(script, lambda: Probe((10, 0, 0), has_client=True))

    assert memory.recall(script, lambda: ANSWER) == ANSWER


@pytest.mark.parametrize("held", ["", "[]", '{"format": 0}', '{"format": 1, "answers": {"a": [1]}}'])
def test_spoilt_memory_is_forgotten(held: str, tmp_path: Path, program: Path) -> None:
    (tmp_path / "probes.json").write_text(held)

    assert Memory(tmp_path / "probes.json").recall(program, lambda: ANSWER) == ANSWER


def test_memory_that_cannot_be_written_does_no_harm(tmp_path: Path, program: Path) -> None:
    (tmp_path / "file").write_text("")

    assert Memory(tmp_path / "file" / "probes.json").recall(program, lambda: ANSWER) == ANSWER
