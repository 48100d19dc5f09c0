"""The trace of a device: every access of every guest as one line of text, with the device's decisions between them.

A thread takes binary records from two rings of the C side, the trace's and the ledger's, merges them by time and writes them
down. The guests never wait for it: what it could not take in time is lost, and the trace says how much.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from device_model import ledger
from device_model.trace_lines import RECORD_SIZE, access_line, ledger_line
from device_model.trace_lines import decode as decode_trace

if TYPE_CHECKING:
    from device_model.layout import Layout
    from device_model.virtual_device import Vdev

Target = Path | TextIO
"""A file to append to, or an open stream that is not closed."""
VARIABLE = "VDSA_TRACE"
CAPACITY = 1 << 17
"""Records kept until they are read, 96 bytes each: more than a second of several guests that do nothing else."""
_CHUNK = 4096
_LOOK_S = 0.02
_SETTLE_NS = 2_000_000
"""Records younger than this wait: another thread may still be about to write an older one."""


def target_of(environment: Mapping[str, str]) -> Target | None:
    """Where VDSA_TRACE says: 1 is standard error, anything else a file; empty, 0 or not set: None."""
    value = environment.get(VARIABLE, "")
    if value in ("", "0"):
        return None
    return sys.stderr if value == "1" else Path(value)


class Tracer:
    """Writes the trace of one device until close(). Made by Device.trace().

    `records` and `lost` count what was written down and what was overwritten before that. `problem`: why writing has
    ended, if it failed.
    """

    def __init__(self, ffi: Any, lib: Any, device_ledger: Any, target: Target, *, capacity: int = CAPACITY) -> None:
        """capacity: records, a power of two. Raises OSError if the file cannot be written, MemoryError."""
        self.records = 0
        self.lost = 0
        self.problem: str | None = None
        self._ffi, self._lib, self._ledger = ffi, lib, device_ledger
        self._layouts: dict[int, Layout] = {}
        self._held: list[tuple[int, int, str]] = []
        with contextlib.ExitStack() as undo:
            self._out = undo.enter_context(target.open("a")) if isinstance(target, Path) else target
            self._trace = lib.trace_create(capacity)
            if not self._trace:
                raise MemoryError(f"no memory for a trace of {capacity} records, or no power of two")
            self._undo = undo.pop_all()
        self._buffer = ffi.new("struct trace_record[]", _CHUNK)
        self._decisions = ffi.new("struct ledger_record[]", _CHUNK)
        self._gone = ffi.new("uint64_t *")
        self._next = ffi.new("uint64_t *", 2**64 - 1)
        lib.ledger_follow(device_ledger, self._next, self._decisions, 0, self._gone)
        self._start = time.monotonic_ns()
        self._ending = threading.Event()
        self._write([f"# trace of a DSA device, in us since {time.strftime('%Y-%m-%d %H:%M:%S')}"])
        self._thread = threading.Thread(target=self._run, name="trace", daemon=True)
        self._thread.start()

    def add(self, vdev: Vdev) -> None:
        """Accesses to this device are traced from now on."""
        self._layouts[vdev.config.id] = vdev.layout
        vdev.trace_to(self._trace)

    def close(self) -> None:
        """Writes what is left. Nothing may write to the trace any more: all virtual devices are gone. Idempotent."""
        if not self._trace:
            return
        self._ending.set()
        self._thread.join()
        trace, self._trace = self._trace, None
        self._lib.trace_destroy(trace)
        try:
            self._undo.close()
        except OSError as error:
            self.problem = self.problem or str(error)

    def _run(self) -> None:
        while not self._ending.wait(_LOOK_S):
            self._drain(time.monotonic_ns() - _SETTLE_NS)
        self._drain(None)
        self._write([f"# end: {self.records} records" + (f", {self.lost} lost" if self.lost else "")])

    def _drain(self, until_ns: int | None) -> None:
        """Writes what is older than until_ns; None: all."""
        self._held += self._accesses()
        self._held += self._decided()
        self._held.sort(key=itemgetter(0, 1))
        ready = self._held
        if until_ns is not None:
            ready = [one for one in self._held if one[0] < until_ns]
        self._held = self._held[len(ready) :]
        self.records += len(ready)
        self._write([f"{(at - self._start) / 1000:>12.1f} {text}" for at, _, text in ready])

    def _accesses(self) -> list[tuple[int, int, str]]:
        """(time, order, line) of new records."""
        raw = self._take(lambda: self._lib.trace_read(self._trace, self._buffer, _CHUNK, self._gone), self._buffer, RECORD_SIZE)
        records = decode_trace(raw)
        lines = [(one.time_ns, 0, f"mdev {one.mdev:<3} {access_line(one, self._layouts.get(one.mdev))}") for one in records]
        return self._with_loss(lines, "accesses")

    def _decided(self) -> list[tuple[int, int, str]]:
        follow = self._lib.ledger_follow
        raw = self._take(
            lambda: follow(self._ledger, self._next, self._decisions, _CHUNK, self._gone), self._decisions, ledger.RECORD_SIZE
        )
        lines = [
            (one.time_ns, 1, f"mdev {one.requester or one.target:<3}   {ledger_line(one)}") for one in ledger.decode(raw)
        ]
        return self._with_loss(lines, "decisions of the ledger")

    def _take(self, read: Any, buffer: Any, size: int) -> bytes:
        chunks = []
        self._gone[0] = 0
        count = _CHUNK
        while count == _CHUNK:
            count = read()
            chunks.append(self._ffi.buffer(buffer, count * size)[:])
        return b"".join(chunks)

    def _with_loss(self, lines: list[tuple[int, int, str]], what: str) -> list[tuple[int, int, str]]:
        if gone := int(self._gone[0]):
            self.lost += gone
            at = lines[0][0] if lines else time.monotonic_ns()
            lines.insert(0, (at, -1, f"--- {gone} {what} lost here: they came faster than they could be written down ---"))
        return lines

    def _write(self, lines: list[str]) -> None:
        """A trace that cannot be written ends; what it was to tell of goes on."""
        if self.problem is not None or not lines:
            return
        try:
            self._out.write("\n".join(lines) + "\n")
            self._out.flush()
        except (OSError, ValueError) as error:
            self.problem = str(error)
