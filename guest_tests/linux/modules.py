"""Kernel modules: what each needs, and in which order they can be loaded.

A module says in its section .modinfo, as NUL-terminated `key=value`, its name and what it depends on.
"""

from __future__ import annotations

import io
import lzma
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

_SUFFIXES = (".ko", ".ko.xz")


class ModuleError(Exception):
    """A module is missing or is none."""


@dataclass(frozen=True, slots=True)
class Module:
    """A module as it is loaded: `content` is the ELF file."""

    name: str
    depends: tuple[str, ...]
    vermagic: str
    content: bytes


def read_module(content: bytes) -> Module:
    """From the bytes of a .ko. ModuleError: it is no module."""
    try:
        section = ELFFile(io.BytesIO(content)).get_section_by_name(".modinfo")
    except ELFError as error:
        raise ModuleError(f"not an ELF file: {error}") from error
    if section is None:
        raise ModuleError("an ELF file without .modinfo is no kernel module")
    said: dict[str, str] = {}
    for entry in section.data().split(b"\0"):
        key, _, value = entry.decode(errors="replace").partition("=")
        said.setdefault(key, value)
    depends = tuple(_canonical(name) for name in said.get("depends", "").split(",") if name)
    return Module(_canonical(said.get("name", "")), depends, said.get("vermagic", ""), content)


class ModuleTree:
    """The modules below a folder, found by name and read when they are asked for; a .ko.xz is unpacked."""

    def __init__(self, folder: Path, own: Iterable[Module] = ()) -> None:
        """own: further modules, which come before those of the folder."""
        self._paths = {_stem(path): path for path in sorted(folder.rglob("*.ko*")) if path.name.endswith(_SUFFIXES)}
        self._read: dict[str, Module] = {module.name: module for module in own}

    def __getitem__(self, name: str) -> Module:
        """ModuleError: there is none of that name, or it is broken."""
        name = _canonical(name)
        if name not in self._read:
            if name not in self._paths:
                raise ModuleError(f"there is no module {name}")
            raw = self._paths[name].read_bytes()
            self._read[name] = read_module(lzma.decompress(raw) if self._paths[name].suffix == ".xz" else raw)
        return self._read[name]

    def in_order(self, wanted: Iterable[str]) -> list[Module]:
        """The modules and all they need, each after what it needs. ModuleError: one is missing, or they need each other."""
        found: dict[str, Module] = {}
        for name in wanted:
            self._visit(_canonical(name), found, ())
        return list(found.values())

    def _visit(self, name: str, found: dict[str, Module], above: tuple[str, ...]) -> None:
        if name in found:
            return
        if name in above:
            raise ModuleError(f"modules that need each other: {' -> '.join((*above, name))}")
        module = self[name]
        for needed in module.depends:
            self._visit(needed, found, (*above, name))
        found[name] = module


def _canonical(name: str) -> str:
    return name.replace("-", "_")


def _stem(path: Path) -> str:
    return _canonical(path.name.partition(".ko")[0])
