"""A suite for tests of the command line: an installed distribution whose `run` ends as the environment's SUITE_DOES says."""

from __future__ import annotations

from pathlib import Path

import pytest

_FAILING = """

def fail(what):
    raise {"host": HostError("no QEMU: install one"), "bug": ZeroDivisionError("oh"), "key": KeyboardInterrupt()}[what]
"""


def install(place: Path, monkeypatch: pytest.MonkeyPatch, entry: str, code: str) -> Path:
    """A folder on the path with a distribution that provides `code` as the entry point; the working folder is `place`.

    code: a module with run(options, progress), which may call fail(what).
    """
    folder = place / "site"
    info = folder / f"sample_{entry}-1.dist-info"
    info.mkdir(parents=True)
    (folder / f"sample_{entry}.py").write_text(code + _FAILING)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: sample-{entry}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[vdsa.suites]\n{entry} = sample_{entry}:run\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(place)
    return folder
