"""What a run that did not prove isolation leaves beside its report: ledger, QEMU's logs, the agents' fault reports."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from device_model.ledger import NO_ENTRY, RECORD_SIZE, Drop, Kind, LedgerRecord, Refusal, decode

LEDGER_FILE = "ledger.bin"
"""Raw records, in the run's folder while it runs."""
FOLDER = "evidence"
MOST_RECORDS = 500_000
"""Of a longer ledger the last ones are written out."""


def discard_evidence(report: Path) -> None:
    """Removes what an earlier run left, so that it is not taken for this one's."""
    shutil.rmtree(report / FOLDER, ignore_errors=True)


def keep_evidence(run_folder: Path, report: Path, crashed: Mapping[int, str]) -> Path:
    """Writes REPORT/evidence: ledger.txt, a log for each guest that wrote one, crashes.txt. Returns the folder."""
    discard_evidence(report)
    return add_evidence(run_folder, report / FOLDER, crashed)


def add_evidence(run_folder: Path, folder: Path, crashed: Mapping[int, str]) -> Path:
    """The same, to a folder that is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for log in run_folder.glob("*.log"):
        if log.stat().st_size:
            shutil.copy(log, folder)
    if crashed:
        lines = [f"guest {guest}: {problem}\n" for guest, problem in sorted(crashed.items())]
        (folder / "crashes.txt").write_text("".join(lines))
    raw = run_folder / LEDGER_FILE
    if raw.exists():
        with (folder / "ledger.txt").open("w") as out:
            out.writelines(_lines(raw))
    return folder


def _lines(raw: Path) -> Iterator[str]:
    with raw.open("rb") as records:
        records.seek(max(0, raw.stat().st_size // RECORD_SIZE - MOST_RECORDS) * RECORD_SIZE)
        while chunk := records.read(RECORD_SIZE * 4096):
            for record in decode(chunk):
                yield readable(record) + "\n"


def readable(record: LedgerRecord) -> str:
    """One record as a line: who, what, why."""
    kind = Kind(record.kind)
    words = [f"{record.seq:>9} {record.time_ns / 1e9:14.6f} {kind.name:<10} descriptor {record.cause}"]
    words.append(f"mdev {record.requester}")
    if record.target:
        words.append(f"-> mdev {record.target} vector {record.vector}")
    if record.entry != NO_ENTRY:
        words.append(f"entry {record.entry}")
    words.append(f"handle {record.handle:#06x} pasid {record.pasid}")
    if kind is Kind.REFUSED:
        words.append(f"because {Refusal(record.reason).name}")
    if kind is Kind.DROPPED:
        words.append(f"because {Drop(record.reason).name}")
    if kind is Kind.COMPLETED:
        words.append(f"status {record.status:#04x}")
    return "  ".join(words)
