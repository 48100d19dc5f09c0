"""The machine's own apt sources are understood as apt understands them."""

from pathlib import Path

import pytest

from qemu_patches.sources import debian_mirrors, parse_deb822, parse_one_line, read_sources

DEB822 = """\
# of the installer
Types: deb deb-src
URIs: http://one.example/debian http://two.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
# the next line is no stanza's end
URIs: http://one.example/debian-security
Suites: bookworm-security
Components: main
"""


@pytest.mark.parametrize(
    ("line", "uri", "suite"),
    [
        ("deb http://a.example/debian bookworm main", "http://a.example/debian", "bookworm"),
        ("  deb\thttp://a.example/debian   trixie\tmain contrib  # nearest", "http://a.example/debian", "trixie"),
        ("deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian sid main", "http://a.example/debian", "sid"),
        ("deb [ trusted=no ] https://a.example:84/debian/ stable main", "https://a.example:84/debian/", "stable"),
        ("deb mirror+file:/etc/apt/mirrors.txt trixie main", "mirror+file:/etc/apt/mirrors.txt", "trixie"),
    ],
)
def test_one_line_source_is_read(line: str, uri: str, suite: str) -> None:
    (source,) = parse_one_line(line)

    assert (source.uri, source.suite, source.components[0]) == (uri, suite, "main")


def test_option_of_one_line_source_is_read() -> None:
    (source,) = parse_one_line("deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian sid main")

    assert source.signed_by == "/k.gpg"


@pytest.mark.parametrize(
    "line",
    [
        "# deb http://a.example/debian bookworm main",
        "deb-src http://a.example/debian bookworm main",
        "debian http://a.example/debian bookworm main",
        "deb http://a.example/debian",
        "",
    ],
)
def test_line_that_is_no_binary_source_is_passed_over(line: str) -> None:
    assert list(parse_one_line(line)) == []


def test_stanza_names_every_address_with_every_suite() -> None:
    found = [(source.uri, source.suite) for source in parse_deb822(DEB822)]

    assert found == [
        ("http://one.example/debian", "bookworm"),
        ("http://one.example/debian", "bookworm-updates"),
        ("http://two.example/debian/", "bookworm"),
        ("http://two.example/debian/", "bookworm-updates"),
        ("http://one.example/debian-security", "bookworm-security"),
    ]


@pytest.mark.parametrize("disabled", ["Enabled: no", "enabled: false", "Enabled: 0"])
def test_disabled_stanza_is_passed_over(disabled: str) -> None:
    text = f"Types: deb\nURIs: http://a.example/debian\nSuites: sid\nComponents: main\n{disabled}\n"

    assert list(parse_deb822(text)) == []


def test_key_within_a_stanza_does_not_end_it() -> None:
    text = (
        "Types: deb\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n URIs: not/a/field\n =abcd\n"
        "URIs: http://a.example/debian\nSuites:\n sid\n trixie\nComponents: main\n"
    )

    found = [(source.uri, source.suite) for source in parse_deb822(text)]

    assert found == [("http://a.example/debian", "sid"), ("http://a.example/debian", "trixie")]


def test_comment_does_not_end_a_folded_field() -> None:
    text = "Types: deb\nURIs:\n http://a.example/debian\n# nearer:\n http://b.example/debian\nSuites: sid\n"

    assert [source.uri for source in parse_deb822(text)] == ["http://a.example/debian", "http://b.example/debian"]


def test_mirrors_are_named_once_and_security_is_none_of_them() -> None:
    assert debian_mirrors(parse_deb822(DEB822)) == ["http://one.example/debian", "http://two.example/debian"]


@pytest.mark.parametrize(
    "line",
    [
        "deb http://tools.example/apt cloud-tools-bookworm main",
        "deb http://docker.example/linux/debian bookworm stable",
        "deb http://node.example/node_20.x nodistro main",
        "deb http://archive.example/ubuntu noble main universe",
        "deb http://sql.example/pub/repos/apt bookworm-pgdg main",
        "deb http://a.example/debian bookworm-security main",
        "deb http://security.example/debian-security stable main",
        "deb http://a.example/debian-debug sid main",
        "deb http://flat.example/packages ./",
        "deb cdrom:[Debian GNU/Linux 12 _Bookworm_ - amd64 1]/ bookworm main",
    ],
)
def test_archive_that_is_not_debians_main_one_is_no_mirror(line: str) -> None:
    assert debian_mirrors(parse_one_line(line)) == []


def test_third_party_with_debians_names_comes_after_debian() -> None:
    lines = [
        "deb [signed-by=/etc/apt/keyrings/browser.gpg] http://browser.example/deb stable main",
        "deb http://pool.example/apt stable main",
        "deb http://a.example/debian stable main",
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://b.example/any stable main",
    ]

    assert debian_mirrors(parse_one_line("\n".join(lines))) == [
        "http://b.example/any",
        "http://a.example/debian",
        "http://pool.example/apt",
        "http://browser.example/deb",
    ]


def test_folder_of_lists_is_read_as_apt_reads_it(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "b.sources").write_text("Types: deb\nURIs: http://b.example/debian\nSuites: sid\nComponents: main\n")
    (parts / "a.list").write_text("deb http://a.example/debian sid main\n")
    (parts / "c.list.disabled").write_text("deb http://c.example/debian sid main\n")
    (parts / "d.list").mkdir()

    found = read_sources(tmp_path / "missing.list", parts)

    assert [source.uri for source in found] == ["http://a.example/debian", "http://b.example/debian"]
