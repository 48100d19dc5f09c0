"""Report files, each of them whole or not there at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from host_ctl.errors import HostError
from host_ctl.report.html import render_html
from host_ctl.report.junit import render_junit
from host_ctl.results import RunResult, encode

REPORT_FILES = ("report.json", "report.html", "junit.xml")


class ReportError(HostError):
    """A report that cannot be written."""


def write_reports(result: RunResult, folder: Path) -> tuple[Path, ...]:
    """Writes REPORT_FILES into `folder`, which is made if need be; answers with their paths.

    All are rendered before the first is written, and each replaces its predecessor at once. Raises ReportError, and
    ResultError for results that contradict themselves.
    """
    contents = (encode(result), render_html(result).encode(), render_junit(result))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(_replace(folder / name, data) for name, data in zip(REPORT_FILES, contents, strict=True))
    except OSError as error:
        raise ReportError(
            f"cannot write the report to {folder} ({error.strerror}): choose a folder of yours"
        ) from error


def write_html(result: RunResult, path: Path) -> None:
    """Writes the HTML report alone. Raises ReportError."""
    try:
        _replace(path, render_html(result).encode())
    except OSError as error:
        raise ReportError(f"cannot write {path} ({error.strerror}): choose a file in a folder of yours") from error


def _replace(path: Path, data: bytes) -> Path:
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), 0o644)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return path
