"""Where this machine gets Debian from: apt's source lists, in both their formats.

Formats: sources.list(5), "ONE-LINE-STYLE FORMAT" and "DEB822-STYLE FORMAT".
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_CODENAMES = frozenset(["buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid"])
_ALIASES = frozenset(["oldoldstable", "oldstable", "stable", "testing", "unstable", "experimental"])
_POCKET = re.compile(r"-(updates|backports|backports-sloppy|proposed-updates)$")
_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<components>.*)$")
_OPTION = re.compile(r"(\S+?)[+-]?=(\S*)")
_NOT_MAIN_ARCHIVE = re.compile(r"security|debug|/debian-ports")
_LOOKS_LIKE_DEBIAN = re.compile(r"debian(?![\w])")
_OFF = frozenset(["no", "false", "without", "off", "disable", "0"])


@dataclass(frozen=True, slots=True)
class Source:
    """One archive and one suite of a source list; only enabled `deb` ones are ever made."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str


def debian_mirrors(sources: Iterable[Source]) -> list[str]:
    """Addresses that may serve Debian's main archive, the likeliest first, none twice.

    An address is kept as apt has it, so mirror lists (`mirror+file:/...`) and proxied ones stay what they are. Whether
    an address really serves Debian is decided by the archive's signature, not here: a third party may call its suite
    "stable" and its component "main" as well.
    """
    fitting = [source for source in sources if _may_be_debian(source)]
    fitting.sort(key=_unlikeliness)
    return list(dict.fromkeys(source.uri.rstrip("/") for source in fitting))


def read_sources(main_list: Path, parts: Path) -> list[Source]:
    """All sources apt would use: the main list, then `*.list` and `*.sources` of the parts folder by name.

    Files that are missing or unreadable are passed over, as the rest may well do.
    """
    found: list[Source] = list(parse_one_line(_text(main_list)))
    try:
        files = sorted(parts.iterdir())
    except OSError:
        files = []
    for file in files:
        if file.suffix == ".list":
            found.extend(parse_one_line(_text(file)))
        elif file.suffix == ".sources":
            found.extend(parse_deb822(_text(file)))
    return found


def parse_one_line(text: str) -> Iterator[Source]:
    """Sources of a `*.list` file; lines that apt would refuse are passed over."""
    for raw in text.splitlines():
        found = _ONE_LINE.match(raw.partition("#")[0].strip())
        if found is None:
            continue
        options = {name.lower(): value for name, value in _OPTION.findall(found["options"] or "")}
        yield Source(
            uri=found["uri"].strip('"'),
            suite=found["suite"].strip('"'),
            components=tuple(found["components"].split()),
            signed_by=options.get("signed-by", ""),
        )


def parse_deb822(text: str) -> Iterator[Source]:
    """Sources of a `*.sources` file: every address of a stanza with every suite of it."""
    for stanza in _stanzas(text):
        if "deb" not in stanza.get("types", "").split() or stanza.get("enabled", "yes").strip().lower() in _OFF:
            continue
        for uri in stanza.get("uris", "").split():
            for suite in stanza.get("suites", "").split():
                yield Source(uri, suite, tuple(stanza.get("components", "").split()), stanza.get("signed-by", ""))


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    stanza: dict[str, str] = {}
    field = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, field = {}, ""
        elif line[0].isspace():
            if field:
                stanza[field] += "\n" + line.strip()
        else:
            name, _, value = line.partition(":")
            field = name.strip().lower()
            stanza[field] = value.strip()


def _may_be_debian(source: Source) -> bool:
    if source.uri.startswith("cdrom:") or "main" not in source.components:
        return False
    if _NOT_MAIN_ARCHIVE.search(source.uri):
        return False
    return _POCKET.sub("", source.suite) in _CODENAMES | _ALIASES


def _unlikeliness(source: Source) -> tuple[bool, bool, bool]:
    by_debian = "debian-archive" in source.signed_by
    return not by_debian, bool(source.signed_by) and not by_debian, not _LOOKS_LIKE_DEBIAN.search(source.uri)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
