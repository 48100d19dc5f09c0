"""What a program of an unpacked package needs to run: its dynamic loader and libraries, by DT_NEEDED."""

from __future__ import annotations

from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

_FOLDERS = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib", "lib")
LOADER = "lib64/ld-linux-x86-64.so.2"


class LibraryMissing(Exception):  # noqa: N818
    """A library that a program needs is in none of the packages."""


def needed_libraries(tree: Path, program: Path) -> dict[str, Path]:
    """Name -> file below `tree` of all libraries that `program` and they themselves need. LibraryMissing."""
    found: dict[str, Path] = {}
    waiting = [program]
    while waiting:
        for name in _needed(waiting.pop()):
            if name not in found:
                found[name] = find_library(tree, name)
                waiting.append(found[name])
    return found


def find_library(tree: Path, name: str) -> Path:
    """The file of a library below `tree`. LibraryMissing."""
    for folder in _FOLDERS:
        path = tree / folder / name
        if path.exists():
            return path
    raise LibraryMissing(f"{name} is in none of the packages")


def find_loader(tree: Path) -> Path:
    """The dynamic loader below `tree`. LibraryMissing."""
    for path in (tree / LOADER, tree / "usr" / LOADER):
        if path.exists():
            return path
    raise LibraryMissing("the dynamic loader is in none of the packages")


def library_path(tree: Path) -> str:
    """The folders of a tree that have libraries, for the loader's --library-path."""
    return ":".join(str(tree / folder) for folder in _FOLDERS if (tree / folder).is_dir())


def is_dynamic(path: Path) -> bool:
    """Whether a file is a program that needs a dynamic loader."""
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return False
        return any(segment.header.p_type == "PT_INTERP" for segment in ELFFile(file).iter_segments())


def _needed(path: Path) -> list[str]:
    with path.open("rb") as file:
        dynamic = ELFFile(file).get_section_by_name(".dynamic")
        if not isinstance(dynamic, DynamicSection):
            return []
        return [str(vars(tag)["needed"]) for tag in dynamic.iter_tags("DT_NEEDED")]
