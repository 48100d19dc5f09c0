"""Writes a cpio archive in the newc format, which Linux unpacks as its first root file system.

Format: "new ASCII" of cpio(5), as in Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
_ALIGN = 4


@dataclass(slots=True)
class CpioArchive:
    """An archive that is filled member by member; bytes(archive) is the whole of it. Parents are made as they are needed.

    Names are relative to the root, as `bin/busybox`. The same calls make the same bytes: owner is root, time is 0.
    """

    _members: dict[str, tuple[int, bytes, tuple[int, int]]] = field(default_factory=dict)

    def file(self, name: str, content: bytes, *, mode: int = 0o644) -> None:
        """A regular file. ValueError: a bad name, or one that is there already."""
        self._add(name, stat.S_IFREG | mode, content)

    def symlink(self, name: str, target: str) -> None:
        """A symbolic link to `target`, which need not exist."""
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str, major: int, minor: int) -> None:
        """A character device, as dev/console is 5, 1."""
        self._add(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def folder(self, name: str) -> None:
        """A folder; one that is there stays."""
        if name not in self._members:
            self._add(name, stat.S_IFDIR | 0o755, b"")

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __bytes__(self) -> bytes:
        parts = [
            _member(number, name, *member) for number, (name, member) in enumerate(self._members.items(), start=1)
        ]
        parts.append(_member(0, _TRAILER, 0, b"", (0, 0)))
        return b"".join(parts)

    def _add(self, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> None:
        if not name or name.startswith("/") or ".." in name.split("/") or name == _TRAILER:
            raise ValueError(f"{name!r} is no name of a member: it is relative to the root, without ..")
        if name in self._members:
            raise ValueError(f"{name} is in the archive already")
        parent = name.rpartition("/")[0]
        if parent:
            self.folder(parent)
        self._members[name] = (mode, content, device)


def _member(number: int, name: str, mode: int, content: bytes, device: tuple[int, int]) -> bytes:
    raw_name = name.encode() + b"\0"
    # inode, mode, uid, gid, links, time, size, device of the file system (2), device (2), length of the name, checksum
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(raw_name), 0)
    header = _MAGIC + b"".join(b"%08x" % value for value in fields)
    return _padded(header + raw_name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGN)
