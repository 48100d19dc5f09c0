"""A private apt: the machine's network settings, and nothing else of its state.

Reads apt.conf(5) of the machine (proxies, certificates, credentials) and lays its own state, cache, lists and an empty
dpkg status over it, so that it neither sees nor changes what is installed. Debian's keyring checks the signatures.
"""

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from qemu_patches.binary import Version

KEYRINGS = tuple(Path("/usr/share/keyrings", f"debian-archive-keyring.{suffix}") for suffix in ("gpg", "pgp"))

_UPDATE_SECONDS = 600.0
_DOWNLOAD_SECONDS = 1800.0
_QUERY_SECONDS = 60.0

# `-c FILE` is read last, so it wins over /etc/apt/apt.conf.d; only there can a list such as the hooks be cleared.
_CONFIGURATION = """\
#clear APT::Update;
#clear DPkg::Pre-Install-Pkgs;
#clear APT::Architectures;
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Dir::State "{folder}/state";
Dir::State::lists "lists";
Dir::State::status "{folder}/status";
Dir::State::extended_states "extended_states";
Dir::Cache "{folder}/cache";
Dir::Cache::archives "archives";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"""

_PLANNED = re.compile(r"^'[^']+' (?P<file>\S+) (?P<size>\d+) ")
_ADDRESS = re.compile(r"\b[a-z+]+:/\S+")
_UNREACHABLE = re.compile(
    r"resolve|connect|timed? ?out|unreachable|Temporary failure|No route|proxy|certificate|handshake", re.IGNORECASE
)


class AptError(Exception):
    """apt ended in error; the message holds its last lines. `network`: it could not reach the mirror at all."""

    def __init__(self, message: str, *, network: bool = False) -> None:
        super().__init__(message)
        self.network = network


@dataclass(frozen=True, slots=True)
class Planned:
    """A package file that apt would download; `size` in bytes."""

    package: str
    version: str
    size: int


@dataclass(frozen=True, slots=True)
class PrivateApt:
    """An apt root in `folder` (which exists) that knows `suites` of one mirror; the last suite is the preferred one."""

    folder: Path
    mirror: str
    suites: tuple[str, ...]
    keyring: Path

    def update(self) -> None:
        """Fetch the lists of packages. Raises AptError."""
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        (self.folder / "apt.conf").write_text(_CONFIGURATION.format(folder=self.folder))
        lines = [f"{self._kind()} {self.mirror} {suite} main\n" for suite in self.suites]
        (self.folder / "sources.list").write_text("".join(lines))
        self._apt_get("update", seconds=_UPDATE_SECONDS)

    def plan(self, *packages: str) -> list[Planned]:
        """What a download of `packages`, each with all it depends on, would fetch. Raises AptError."""
        printed = self._apt_get("install", "-y", "--print-uris", *self._wanted(*packages), seconds=_QUERY_SECONDS)
        return list(parse_plan(printed))

    def download(self, *packages: str) -> list[Path]:
        """Fetch `packages` and all they depend on; returns the .deb files there are now. Raises AptError."""
        self._apt_get("install", "-y", "--download-only", *self._wanted(*packages), seconds=_DOWNLOAD_SECONDS)
        return sorted((self.folder / "cache/archives").glob("*.deb"))

    def fetch(self, *packages: str) -> list[Path]:
        """Fetch `packages`, each a name or name=version, by themselves; returns their .deb files. Raises AptError."""
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=self.folder) as scratch:
            self._apt_get("download", *packages, seconds=_DOWNLOAD_SECONDS, folder=Path(scratch))
            fetched = [path.rename(self.folder / path.name) for path in sorted(Path(scratch).glob("*.deb"))]
        if len(fetched) != len(packages):
            raise AptError(f"apt-get download of {len(packages)} packages left {len(fetched)} files")
        return fetched

    def _kind(self) -> str:
        return f"deb [arch={_architecture()} target=Packages signed-by={self.keyring}]"

    def _wanted(self, *packages: str) -> tuple[str, ...]:
        return ("-t", self.suites[-1], *packages)

    def _apt_get(self, *arguments: str, seconds: float, folder: Path | None = None) -> str:
        return _run(["apt-get", "-c", str(self.folder / "apt.conf"), "-qq", *arguments], seconds, folder)


class SourceApt(PrivateApt):
    """The same for source packages: update() fetches their lists, and nothing can be planned or installed."""

    __slots__ = ()

    def source_versions(self, package: str) -> list[str]:
        """Versions of the source package that the lists have, newest upstream version first. Raises AptError."""
        command = ["apt-cache", "-c", str(self.folder / "apt.conf"), "showsrc", "--only-source", package]
        return parse_source_versions(_run(command, _QUERY_SECONDS))

    def download_source(self, package: str, version: str) -> Path:
        """Fetch one version, which apt checks by its signed lists; returns the .dsc. Raises AptError."""
        target = self.folder / f"source-{version.replace(':', '_')}"
        target.mkdir(exist_ok=True)
        command = ["apt-get", "-c", str(self.folder / "apt.conf"), "-qq", "source", "--download-only"]
        _run([*command, f"{package}={version}"], _DOWNLOAD_SECONDS, folder=target)
        return next(target.glob("*.dsc"))

    def _kind(self) -> str:
        return f"deb-src [target=Sources signed-by={self.keyring}]"


def parse_source_versions(printed: str) -> list[str]:
    """Versions in what `apt-cache showsrc` printed, newest upstream version first, none twice."""
    found = re.findall(r"^Version: (\S+)$", printed, re.MULTILINE)
    return sorted(dict.fromkeys(found), key=lambda version: (upstream_version(version), version), reverse=True)


def parse_plan(printed: str) -> list[Planned]:
    """Lines of `apt-get --print-uris`: 'address' file size checksum; the file is named package_version_arch.deb."""
    planned = []
    for found in filter(None, map(_PLANNED.match, printed.splitlines())):
        package, version, _ = unquote(found["file"]).split("_", 2)
        planned.append(Planned(package, version, int(found["size"])))
    return planned


def upstream_version(package_version: str) -> Version:
    """1:11.1.3+ds-1~bpo13+1 as (11, 1, 3); (0, 0, 0) if it does not begin with numbers."""
    found = re.match(r"(?:\d+:)?(\d+)\.(\d+)(?:\.(\d+))?", package_version)
    if found is None:
        return 0, 0, 0
    major, minor, micro = found.groups(default="0")
    return int(major), int(minor), int(micro)


def source_lists() -> tuple[Path, Path]:
    """The machine's main source list and its folder of further ones. Raises AptError."""
    shell = ["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]
    printed = dict(line.split("=", 1) for line in _run(shell, _QUERY_SECONDS).splitlines() if "=" in line)
    main_list, parts = (printed.get(name, "").strip("'") for name in ("LIST", "PARTS"))
    return Path(main_list or "/etc/apt/sources.list"), Path(parts or "/etc/apt/sources.list.d")


def missing_tools() -> list[str]:
    """Those of the programs needed here that this machine lacks."""
    return [tool for tool in ("apt-get", "apt-config", "dpkg", "dpkg-deb") if shutil.which(tool) is None]


def unpack(package: Path, folder: Path) -> None:
    """Unpack one .deb into `folder`, running nothing of it. Raises AptError."""
    _run(["dpkg-deb", "-x", str(package), str(folder)], _QUERY_SECONDS)


def _architecture() -> str:
    return _run(["dpkg", "--print-architecture"], _QUERY_SECONDS).strip()


def _run(command: list[str], seconds: float, folder: Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        ended = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except OSError as error:
        raise AptError(f"{command[0]} does not run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise AptError(f"{command[0]} did not end within {seconds:g} s", network=True) from error
    if ended.returncode != 0:
        complaint = ended.stderr.decode(errors="replace").strip()
        lines = [line for line in complaint.splitlines() if line.startswith(("E:", "Err"))] or complaint.splitlines()
        told = "\n".join(lines[-4:])
        raise AptError(told, network=_UNREACHABLE.search(_ADDRESS.sub("", complaint)) is not None)
    return ended.stdout.decode(errors="replace")
