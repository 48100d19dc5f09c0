"""The agent is built once, refused when it could not run, and its crash addresses lead to its source."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from guest_tests.agent_build import AgentBuildError, AgentImage, build_agent
from guest_tests.agent_elf import AgentElf, AgentElfError, agent_symbols, check_agent, locate

pytest_plugins = ["host_ctl.tests.qemu_fixtures", "guest_tests.tests.agent_guests"]

_NOTE = """
    .section .note.pvh, "a", @note
    .balign {align}
    .long 4, {size}, 18
    .asciz "Xen"
    .skip {size}
"""
_PROGRAM = """
extern int missing(void) __attribute__((weak));
int agent_entry(void) { return missing(); }
"""


def link(folder: Path, source: str, *options: str, suffix: str = ".c") -> Path:
    """An ELF from one source that is not the agent's."""
    program = folder / f"program{suffix}"
    program.write_text(source)
    elf = folder / "program.elf"
    base = ["gcc", "-nostdlib", "-static", "-no-pie", "-g", "-Wl,--build-id=none", "-Wl,--entry=0x1000"]
    subprocess.run([*base, *options, str(program), "-o", str(elf)], check=True, capture_output=True)
    return elf


def violations(elf: Path) -> str:
    with pytest.raises(AgentElfError) as caught:
        check_agent(elf)
    return "\n".join(caught.value.violations)


def test_built_agent_is_accepted(agent_image: AgentImage) -> None:
    symbols = check_agent(agent_image.elf)
    assert symbols.shared == 0x600000
    assert symbols.scratch == 0x800000
    assert agent_image.stub.stat().st_size == 0x10000


def test_second_build_takes_no_time(agent_image: AgentImage) -> None:
    start = time.perf_counter()
    again = build_agent(agent_image.elf.parents[1])
    assert again == agent_image
    assert time.perf_counter() - start < 0.02


def test_builds_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        images = list(pool.map(build_agent, [tmp_path] * 3))
    assert len(set(images)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [images[0].elf.parent.name]


def test_failing_compiler_shows_its_output_and_leaves_nothing(tmp_path: Path) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\nexec gcc -include /no/such/header.h "$@"\n')
    compiler.chmod(0o755)
    with pytest.raises(AgentBuildError, match=r"/no/such/header\.h: No such file"):
        build_agent(tmp_path / "out", str(compiler))
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_compiler_is_named(tmp_path: Path) -> None:
    with pytest.raises(AgentBuildError, match=r"'no-such-cc' does not exist\. Install gcc"):
        build_agent(tmp_path, "no-such-cc")


def test_foreign_elf_is_refused_with_every_reason(tmp_path: Path) -> None:
    elf = link(tmp_path, _PROGRAM, "-Wl,-Ttext=0x1000")
    found = violations(elf)
    assert "its entry is 0x1000" in found
    assert "it has no PVH note" in found
    assert "outside 0x100000..0x1000000" in found
    assert "the symbol agent_shared is missing" in found
    assert "was compiled without -mgeneral-regs-only" in found
    assert "was compiled without -mno-red-zone" in found


def test_object_that_is_not_linked_is_refused(tmp_path: Path) -> None:
    found = violations(link(tmp_path, _PROGRAM, "-c"))
    assert "it has nothing to load" in found
    assert "undefined symbols: missing" in found


@pytest.mark.parametrize(
    ("align", "size", "reason"),
    [(4, 4, "descsz 4 instead of 8"), (8, 8, "p_align 8 instead of 4")],
)
def test_pvh_note_that_qemu_misreads_is_refused(tmp_path: Path, align: int, size: int, reason: str) -> None:
    elf = link(tmp_path, _NOTE.format(align=align, size=size), "-Wl,-z,noseparate-code", suffix=".S")
    assert reason in violations(elf)


def test_shared_block_inside_a_segment_is_refused(tmp_path: Path) -> None:
    elf = link(tmp_path, "char agent_shared[64];", "-Wl,-Tbss=0x200000")
    assert "holds agent_shared, which a reset would then overwrite" in violations(elf)


def test_file_that_is_no_elf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no ELF")
    assert "it cannot be read" in violations(tmp_path / "text")


def test_agent_uses_no_vector_register(agent_image: AgentImage) -> None:
    listing = subprocess.run(["objdump", "-d", str(agent_image.elf)], check=True, capture_output=True, text=True).stdout
    assert "irq_entry" in listing
    assert "%xmm" not in listing
    assert "%st" not in listing


def test_address_leads_to_function_and_line(agent_image: AgentImage) -> None:
    with agent_image.elf.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        address = next(symbol["st_value"] for symbol in table.iter_symbols() if symbol.name == "command_run")
    found = locate(agent_image.elf, address)
    source = Path(__file__).parents[1] / "agent" / "command.c"
    assert (found.function, Path(found.file).name) == ("command_run", "command.c")
    assert "void command_run(" in "\n".join(source.read_text().splitlines()[found.line - 2 : found.line])


def test_address_outside_the_agent_is_unknown(agent_image: AgentImage) -> None:
    found = AgentElf(agent_image.elf).locate(agent_symbols(agent_image.elf).scratch)
    assert (found.function, found.file, found.line) == ("?", "?", 0)
