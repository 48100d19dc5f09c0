"""Plants one defect after another in a copy of the sources and runs the isolation suite: `make mutants`.

The negative controls of a run show that the suite can fail. This shows how fine its meshes are: each defect of mutants_table.py
and its parts breaks isolation, or a promise about interrupts, and a run that says nothing against it is a MISS. The copy is
in build/mutants/; the tree itself is never changed. Exit status: 0 all were noticed, 1 one was missed, 2 one could not be tried.

The suite runs without its own planted faults: they are there to judge the suite, and a defect that only spoils them is not
noticed. So a run in which nothing is wrong ends NOT PROVEN, but with all scenarios passed and no condition broken: MISSED.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from mutants_defect import Defect
from mutants_table import DEFECTS

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "mutants"
TREE = BUILD / "tree"
PARTS = ("device_model", "host_ctl", "guest_tests", "qemu_patches", "setup.py", "pyproject.toml", "conftest.py")
SUITE_LIMIT_S = 180.0
"""Bound on one run. What a defect hangs is a finding too: NOT PROVEN."""
GRACE_S = 6.0
"""How long a run goes on after its first scenario has failed: the defect is noticed, what else it breaks may be worse."""
TESTS_LIMIT_S = 240.0
_VECTORS = {"dsa-pf-v1": 4}
"""Of types that are devices of their own: as many as they have. No faults can be planted in them."""
_CONTROLS, _USAGE = 5, 2
_SEPARATOR = "\x1f"


class CannotTry(Exception):  # noqa: N818
    """The defect does not fit the sources, or does not compile."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one defect. `word`: LEAKED, NOT PROVEN, FOUND (by the tests it names), MISSED or ERROR."""

    defect: Defect
    word: str
    why: str
    seconds: float


# ---- substitutions ----


def misfits(defect: Defect, root: Path) -> list[str]:
    """Sentences on the substitutions that do not fit exactly once, one behind the other; empty: all do."""
    texts: dict[str, str] = {}
    found = []
    for edit in defect.edits:
        if edit.file not in texts:
            path = root / edit.file
            texts[edit.file] = path.read_text() if path.exists() else ""
        count = texts[edit.file].count(edit.old)
        if count != 1:
            found.append(f"{defect.name}: its pattern is found {count} times in {edit.file}: {edit.old.strip()[:60]!r}")
        texts[edit.file] = texts[edit.file].replace(edit.old, edit.new, 1)
    return found


class Planted:
    """The defect is in the copy inside this context, and out of it afterwards."""

    def __init__(self, defect: Defect, tree: Path) -> None:
        self._defect = defect
        self._tree = tree
        self._before: dict[Path, str] = {}

    def __enter__(self) -> set[str]:
        """The files that have changed."""
        problems = misfits(self._defect, self._tree)
        if problems:
            raise CannotTry(problems[0])
        for edit in self._defect.edits:
            path = self._tree / edit.file
            text = path.read_text()
            self._before.setdefault(path, text)
            path.write_text(text.replace(edit.old, edit.new, 1))
        return {edit.file for edit in self._defect.edits}

    def __exit__(self, *_: object) -> None:
        for path, text in self._before.items():
            path.write_text(text)


# ---- building ----


class Builder:
    """The extension of the copy. The first build notes the compiler's commands; later ones repeat those of changed files."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._target: Path | None = None
        self._compile: list[list[str]] = []
        self._link: list[str] = []
        self._stale: set[str] = set()

    def prepare(self) -> None:
        """Copies the sources and builds them as they are. CalledProcessError: they do not build."""
        shutil.rmtree(self._tree, ignore_errors=True)
        self._tree.mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__", "*.so", ".hypothesis")
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, self._tree / part, ignore=ignored)
            elif source.exists():
                shutil.copy(source, self._tree / part)
        log, compiler = self._tree / "commands", self._tree / "compiler"
        real = os.environ.get("CC", "cc")
        compiler.write_text(f'#!/bin/sh\nprintf "%s\\037" "$@" >>{log}\necho >>{log}\nexec {real} "$@"\n')
        compiler.chmod(0o755)
        environment = os.environ | {"CC": str(compiler), "LDSHARED": f"{compiler} -shared"}
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        subprocess.run(command, cwd=self._tree, env=environment, check=True)
        for line in log.read_text().splitlines():
            words = [real, *line.split(_SEPARATOR)[:-1]]
            if "-c" in words:
                self._compile.append(words)
            elif "-shared" in words:
                self._link = words
        (self._target,) = (self._tree / "device_model").glob("*.so")

    def build(self, changed: set[str]) -> None:
        """Builds what these files, and those that a defect before has left, have changed. CannotTry: it does not compile."""
        touched = {file for file in changed | self._stale if file.endswith((".c", ".h"))}
        self._stale = {file for file in changed if file.endswith((".c", ".h"))}
        if not touched:
            return
        everything = any(file.endswith(".h") for file in touched)
        for command in self._compile:
            if everything or any(word.endswith(file) for word in command for file in touched):
                self._run(command)
        self._run(self._link)
        linked = self._tree / self._link[self._link.index("-o") + 1]
        assert self._target is not None
        if linked.resolve() != self._target.resolve():
            shutil.copy(linked, self._target)

    def _run(self, command: Sequence[str]) -> None:
        done = subprocess.run(command, cwd=self._tree, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = done.stderr.splitlines()
            raise CannotTry(next((line for line in lines if "error" in line), "it does not compile"))


# ---- running ----


def _end(process: subprocess.Popen[str]) -> None:
    """Asks the run to end, and makes it end; its QEMUs die with it."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_suite(defect: Defect, log: Path, report: Path, *, controls: bool) -> tuple[str, str]:
    """Runs the isolation suite of the copy: (word, why)."""
    shutil.rmtree(report, ignore_errors=True)
    command = [
        *(sys.executable, "-m", "host_ctl", "run", "--guests", "4", "--accel", "tcg", "--plain"),
        *("--vectors", str(_VECTORS.get(defect.mdev_type, 2))),
        *("--type", defect.mdev_type, "--report", str(report)),
        *("--store", defect.store, "--domain", defect.domain),
        *([] if controls and defect.mdev_type not in _VECTORS else ["--no-controls"]),
    ]
    begin = time.monotonic()
    failed_at: float | None = None
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=TREE, stdout=out, stderr=subprocess.STDOUT, text=True)
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if failed_at is None and _has_failed(log):
                    failed_at = time.monotonic()
                late = time.monotonic() > begin + SUITE_LIMIT_S
                if late or (failed_at is not None and time.monotonic() > failed_at + GRACE_S):
                    _end(process)
        finally:
            if process.poll() is None:
                _end(process)
    results = report / "report.json"
    if not results.exists():
        lines = log.read_text().splitlines()
        if process.returncode == _USAGE:
            raise CannotTry(f"the suite did not run: {lines[0] if lines else 'it said nothing'}")
        died = f"the run ended with status {process.returncode} and no report: "
        return "NOT PROVEN", died + (lines[-1] if lines else "it said nothing")
    return judge(json.loads(results.read_text()), controls=controls)


def _has_failed(log: Path) -> bool:
    lines = log.read_text(errors="replace").splitlines()
    return any(" FAILED" in line or " failed" in line or " error" in line for line in lines)


def judge(results: dict[str, object], *, controls: bool) -> tuple[str, str]:
    """(LEAKED, NOT PROVEN or MISSED; why) of a report as `vdsa run` writes it."""
    scenarios, conditions = results["scenarios"], results["conditions"]
    assert isinstance(scenarios, list)
    assert isinstance(conditions, list)
    if results["verdict"] == "LEAKED":
        return "LEAKED", str(results["reason"])
    broken = [f"{one['name']}: {_first_line(one['message'])}" for one in scenarios if one["outcome"] not in _HARMLESS]
    broken += [
        f"condition {one['number']}: {one['evidence']}"
        for one in conditions
        if one["held"] is not True and (controls or one["number"] != _CONTROLS)
    ]
    if results["verdict"] == "ISOLATED" or (not broken and not controls):
        return "MISSED", "the suite has seen nothing wrong"
    return "NOT PROVEN", "; ".join(broken[:2]) or str(results["reason"])


_HARMLESS = ("passed", "not_run", "not run")


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


def run_tests(defect: Defect, log: Path) -> tuple[str, str]:
    """Runs the tests that must find what no guest can see: (FOUND or MISSED, why)."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *defect.tests]
    with log.open("w") as out:
        try:
            done = subprocess.run(
                command, cwd=TREE, stdout=out, stderr=subprocess.STDOUT, timeout=TESTS_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return "FOUND", f"the tests did not end in {TESTS_LIMIT_S:g} s"
    lines = log.read_text(errors="replace").splitlines()
    if done.returncode in (4, 5):
        raise CannotTry(f"no such test: {' '.join(defect.tests)}")
    if done.returncode == 0:
        return "MISSED", f"{' '.join(defect.tests)} passed"
    return "FOUND", next((line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1] if lines else "")


def try_one(defect: Defect, builder: Builder, *, controls: bool) -> Tried:
    """One defect, from its planting to its removal."""
    begin = time.monotonic()
    log, report = BUILD / f"{defect.name}.log", BUILD / "report" / defect.name
    try:
        with Planted(defect, TREE) as changed:
            builder.build(changed)
            word, why = run_tests(defect, log) if defect.tests else run_suite(defect, log, report, controls=controls)
    except CannotTry as error:
        word, why = "ERROR", str(error)
    return Tried(defect, word, why, time.monotonic() - begin)


# ---- the program ----


def _line(tried: Tried, width: int) -> str:
    return f"{tried.defect.name:<{width}}  {tried.word:<10} {tried.seconds:5.1f} s  {tried.why}"


def _chosen(patterns: Iterable[str]) -> list[Defect]:
    wanted = list(patterns)
    return [one for one in DEFECTS if not wanted or any(pattern in one.name for pattern in wanted)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="PATTERN", action="append", default=[], help="those with PATTERN in the name")
    parser.add_argument("--list", action="store_true", help="show the defects and try none")
    parser.add_argument("--controls", action="store_true", help="let the suite plant its own faults as well")
    return parser.parse_args()


def _show(chosen: Sequence[Defect]) -> None:
    for defect in chosen:
        where = " ".join(defect.tests) if defect.tests else f"the suite, {defect.mdev_type}, {defect.store}/{defect.domain}"
        print(f"{defect.name}\n    breaks:  {defect.breaks}\n    noticed: {defect.noticed}\n    by:      {where}")


def main() -> int:
    arguments = _arguments()
    chosen = _chosen(arguments.only)
    if not chosen:
        print(f"no defect is called like {' or '.join(arguments.only)}: see --list", file=sys.stderr)
        return 2
    if arguments.list:
        _show(chosen)
        return 0
    print(f"mutants: building {TREE}", flush=True)
    builder = Builder(TREE)
    builder.prepare()
    width = max(len(defect.name) for defect in chosen)
    tried = []
    for defect in chosen:
        tried.append(try_one(defect, builder, controls=arguments.controls))
        print(_line(tried[-1], width), flush=True)
    count = {word: sum(one.word == word for one in tried) for word in ("MISSED", "ERROR")}
    print(f"{len(tried)} defects: {count['MISSED']} missed, {count['ERROR']} could not be tried")
    return 2 if count["ERROR"] else 1 if count["MISSED"] else 0


if __name__ == "__main__":
    sys.exit(main())
