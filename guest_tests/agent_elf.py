"""What the agent's ELF has to be, where its shared block lies, and which source line an address belongs to."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

LOWEST = 0x100000
ENTRY = 0x200000
SHARED_SYMBOL = "agent_shared"
SCRATCH_SYMBOL = "agent_scratch"
_REQUIRED_FLAGS = ("-mgeneral-regs-only", "-mno-red-zone")
_NT_PVH_ENTRY = 18


class AgentElfError(Exception):
    """The ELF is not an agent; `violations` holds each reason, the message all of them."""

    def __init__(self, elf: Path, violations: list[str]) -> None:
        self.violations = violations
        super().__init__(f"{elf} is no usable agent: " + "; ".join(violations))


@dataclass(frozen=True, slots=True)
class SourceLine:
    """Where an address of the agent comes from. `function` may be known where `file` and `line` are not."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{self.line})"


@dataclass(frozen=True, slots=True)
class AgentSymbols:
    """Guest-physical addresses of the blocks that host and agent share."""

    shared: int
    scratch: int


def check_agent(elf: Path, ram_size: int = 16 << 20) -> AgentSymbols:
    """Raises AgentElfError with every violation of what the loader, the stub and the interrupt handlers rely on."""
    try:
        with elf.open("rb") as stream:
            file = ELFFile(stream)
            found = list(_violations(file, ram_size))
            symbols = _symbols(file)
    except (OSError, ELFError) as error:
        raise AgentElfError(elf, [f"it cannot be read ({error})"]) from error
    if found:
        raise AgentElfError(elf, found)
    return AgentSymbols(symbols[SHARED_SYMBOL], symbols[SCRATCH_SYMBOL])


def agent_symbols(elf: Path) -> AgentSymbols:
    """The addresses alone, of an ELF that was checked when it was built."""
    with elf.open("rb") as stream:
        symbols = _symbols(ELFFile(stream))
    return AgentSymbols(symbols[SHARED_SYMBOL], symbols[SCRATCH_SYMBOL])


def _violations(file: Any, ram_size: int) -> Iterator[str]:
    if file.elfclass != 64 or file["e_machine"] != "EM_X86_64":
        yield "it is not a 64-bit x86 ELF"
        return
    if file["e_entry"] != ENTRY:
        yield f"its entry is {file['e_entry']:#x}, but the stub jumps to {ENTRY:#x}"
    yield from _note_violations(file)
    yield from _segment_violations(file, ram_size)
    yield from _symbol_violations(file)
    yield from _producer_violations(file)


def _note_violations(file: Any) -> Iterator[str]:
    segments = [segment for segment in file.iter_segments() if segment["p_type"] == "PT_NOTE"]
    notes = [note for segment in segments for note in segment.iter_notes() if note["n_name"] == "Xen"]
    entries = [note for note in notes if note["n_type"] in (_NT_PVH_ENTRY, str(_NT_PVH_ENTRY))]
    if not entries:
        yield "it has no PVH note (type 18 of Xen)"
    for note in entries:
        if note["n_descsz"] != 8:
            yield f"its PVH note has descsz {note['n_descsz']} instead of 8"
    for segment in segments:
        if segment["p_align"] != 4:
            yield f"its PT_NOTE has p_align {segment['p_align']} instead of 4"


def _segment_violations(file: Any, ram_size: int) -> Iterator[str]:
    loads = [segment for segment in file.iter_segments() if segment["p_type"] == "PT_LOAD"]
    if not loads:
        yield "it has nothing to load"
    for segment in loads:
        start, end = segment["p_paddr"], segment["p_paddr"] + segment["p_memsz"]
        if start < LOWEST or end > ram_size:
            yield f"a PT_LOAD at {start:#x}..{end:#x} is outside {LOWEST:#x}..{ram_size:#x}"
        shared = _symbols(file).get(SHARED_SYMBOL, 0)
        if start <= shared < end:
            yield f"a PT_LOAD at {start:#x}..{end:#x} holds {SHARED_SYMBOL}, which a reset would then overwrite"


def _symbol_violations(file: Any) -> Iterator[str]:
    table = file.get_section_by_name(".symtab")
    if table is None:
        yield "it has no symbol table"
        return
    undefined = sorted(s.name for s in table.iter_symbols() if s["st_shndx"] == "SHN_UNDEF" and s.name)
    if undefined:
        yield f"undefined symbols: {', '.join(undefined)}"
    symbols = _symbols(file)
    for name in (SHARED_SYMBOL, SCRATCH_SYMBOL):
        if name not in symbols:
            yield f"the symbol {name} is missing"


def _producer_violations(file: Any) -> Iterator[str]:
    """With -mgeneral-regs-only the compiler itself refuses SSE: handlers save no SSE register."""
    if not file.has_dwarf_info():
        yield "it has no debug information"
        return
    for unit in file.get_dwarf_info().iter_CUs():
        attributes = unit.get_top_DIE().attributes
        producer = _text(attributes, "DW_AT_producer")
        if not producer.startswith("GNU C"):
            continue
        for flag in _REQUIRED_FLAGS:
            if flag not in producer.split():
                yield f"{_text(attributes, 'DW_AT_name')} was compiled without {flag}"


def _text(attributes: Any, name: str) -> str:
    value = attributes[name].value if name in attributes else b""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _symbols(file: Any) -> dict[str, int]:
    table = file.get_section_by_name(".symtab")
    return {} if table is None else {s.name: s["st_value"] for s in table.iter_symbols() if s.name}


class AgentElf:
    """An agent's ELF, opened to find the source of addresses. Reads the line table once (some 50 ms)."""

    def __init__(self, elf: Path) -> None:
        self.path = elf
        with elf.open("rb") as stream:
            file = ELFFile(stream)
            self._functions = _functions(file)
            self._lines = _lines(file.get_dwarf_info())
        self._starts = [start for start, _end, _file, _line in self._lines]

    def locate(self, address: int) -> SourceLine:
        """The function and line that `address` lies in; "?" and 0 for what is not known."""
        function = next((name for low, high, name in self._functions if low <= address < high), "?")
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._lines[index][1]:
            return SourceLine(function, "?", 0)
        _start, _end, file, line = self._lines[index]
        return SourceLine(function, file, line)


def locate(elf: Path, address: int) -> SourceLine:
    """AgentElf(elf).locate(address), for a single address."""
    return AgentElf(elf).locate(address)


def _functions(file: Any) -> list[tuple[int, int, str]]:
    table = file.get_section_by_name(".symtab")
    return [
        (s["st_value"], s["st_value"] + s["st_size"], s.name)
        for s in table.iter_symbols()
        if s["st_info"]["type"] == "STT_FUNC" and s["st_size"]
    ]


def _lines(dwarf: Any) -> list[tuple[int, int, str, int]]:
    """(start, end, file, line) by address, of all units."""
    rows: list[tuple[int, int, str, int]] = []
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is not None:
            rows.extend(_unit_lines(program))
    return sorted(rows)


def _unit_lines(program: Any) -> Iterator[tuple[int, int, str, int]]:
    header = program.header
    # Version 5 counts files from 0, earlier ones from 1.
    first = 0 if header["version"] >= 5 else 1
    previous = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if previous is not None and state.address > previous.address:
            name = header["file_entry"][previous.file - first].name.decode()
            yield previous.address, state.address, name, previous.line
        previous = None if state.end_sequence else state
