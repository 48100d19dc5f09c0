"""Answers of installed QEMUs, remembered so that they need not be run again to be asked the same."""

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qemu_patches.probe import Probe

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Memory:
    """A file of answers, each under the program's real path, size and time of change."""

    file: Path

    def recall(self, program: Path, ask: Callable[[], Probe]) -> Probe:
        """What `program` answered when it was last as it is now; else what `ask` says, remembered if that can be.

        Only compiled programs are remembered: a script may start another QEMU tomorrow without being changed itself.
        """
        key = _key(program)
        answers = self._read()
        if key is not None and key in answers:
            return answers[key]
        answer = ask()
        if key is not None:
            self._write({**answers, key: answer})
        return answer

    def _read(self) -> dict[str, Probe]:
        try:
            held = json.loads(self.file.read_text())
            if held["format"] != _FORMAT:
                return {}
            return {key: _probe(*value) for key, value in held["answers"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def _write(self, answers: dict[str, Probe]) -> None:
        held = {
            key: (*answer.version, answer.has_client, *sorted(answer.capabilities)) for key, answer in answers.items()
        }
        fresh = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps({"format": _FORMAT, "answers": held}))
            fresh.replace(self.file)


def _probe(major: int, minor: int, micro: int, has_client: bool, *able: str) -> Probe:
    return Probe((major, minor, micro), has_client, frozenset(able))


def _key(program: Path) -> str | None:
    try:
        real = program.resolve(strict=True)
        status = real.stat()
        with real.open("rb") as opened:
            compiled = opened.read(4) == b"\x7fELF"
    except OSError:
        return None
    return f"{real}:{status.st_size}:{status.st_mtime_ns}" if compiled else None
