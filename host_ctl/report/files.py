"""Report files, each of them whole or not there at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from host_ctl import comparison_file
from host_ctl.comparison import Comparison
from host_ctl.errors import HostError
from host_ctl.report.comparison_html import render_comparison
from host_ctl.report.comparison_junit import render_comparison_junit
from host_ctl.report.html import render_html
from host_ctl.report.junit import render_junit
from host_ctl.results import RunResult, encode

REPORT_FILES = ("report.json", "report.html", "junit.xml")
COMPARISON_FILES = ("comparison.json", "comparison.html", "junit.xml")


class ReportError(HostError):
    """A report that cannot be written."""


def write_reports(result: RunResult, folder: Path) -> tuple[Path, ...]:
    """Writes REPORT_FILES into `folder`, which is made if need be; answers with their paths.

    All are rendered before the first is written, and each replaces its predecessor at once. Raises ReportError, and
    ResultError for results that contradict themselves.
    """
    contents = (encode(result), render_html(result).encode(), render_junit(result))
    return _write_all(folder, dict(zip(REPORT_FILES, contents, strict=True)))


def write_comparison(comparison: Comparison, folder: Path) -> tuple[Path, ...]:
    """Writes COMPARISON_FILES, as write_reports() writes those of a run."""
    contents = (comparison_file.encode(comparison), render_comparison(comparison).encode(), render_comparison_junit(comparison))
    return _write_all(folder, dict(zip(COMPARISON_FILES, contents, strict=True)))


def write_html(result: RunResult | Comparison, path: Path) -> None:
    """Writes the HTML report alone. Raises ReportError."""
    page = render_html(result) if isinstance(result, RunResult) else render_comparison(result)
    try:
        _replace(path, page.encode())
    except OSError as error:
        raise ReportError(f"cannot write {path} ({error.strerror}): choose a file in a folder of yours") from error


def _write_all(folder: Path, contents: Mapping[str, bytes]) -> tuple[Path, ...]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(_replace(folder / name, data) for name, data in contents.items())
    except OSError as error:
        raise ReportError(f"cannot write the report to {folder} ({error.strerror}): choose a folder of yours") from error


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
