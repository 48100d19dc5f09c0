"""The series is whole and in upstream's form, fits exactly or is refused, and names the build that is made with it."""

import os
import re
import shutil
from pathlib import Path

import pytest

from qemu_patches import recipe
from qemu_patches.capability import EVENTFD, KNOWN
from qemu_patches.patched import build_key
from qemu_patches.series import FOLDER, Patch, Series, SeriesError, apply, read_series

FIRST = "--- a/file\n+++ b/file\n@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n"
SECOND = "--- a/file\n+++ b/file\n@@ -1,3 +1,3 @@\n one\n-zwei\n+deux\n three\n"
_FILE = re.compile(r"^diff --git a/(\S+) ", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "series"
    made.mkdir()
    (made / "1.patch").write_text(FIRST)
    (made / "2.patch").write_text(SECOND)
    (made / "series").write_text("# two\n1.patch  movdir64b\n\n2.patch  -\n")
    return made


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir()
    (made / "file").write_text("one\ntwo\nthree\n")
    return made


@pytest.mark.parametrize("patch", read_series().patches, ids=lambda patch: patch.file.name[:4])
def test_patch_is_in_upstreams_form(patch: Patch) -> None:
    head, _, change = patch.file.read_text().partition("\ndiff --git ")
    subject = re.search(r"^Subject: \[PATCH\] (.*)$", head, re.MULTILINE)

    assert subject is not None
    assert re.match(r"[a-z0-9/-]+: \S", subject[1])
    assert len(head.partition(subject[0])[2].split()) > 25  # a reason, not a title only
    assert "Signed-off-by" not in head
    assert not re.search(r"^\+.*[ \t]$", change, re.MULTILINE)


def test_series_gives_every_capability_that_is_known() -> None:
    assert read_series().capabilities == KNOWN
    assert read_series().capabilities >= EVENTFD


def test_patches_are_applied_in_order(folder: Path, tree: Path) -> None:
    had = apply(read_series(folder), tree)

    assert had == []
    assert (tree / "file").read_text() == "one\ndeux\nthree\n"
    assert [file.name for file in tree.iterdir()] == ["file"]


def test_patches_in_the_wrong_order_are_refused(folder: Path, tree: Path) -> None:
    (folder / "series").write_text("2.patch -\n1.patch movdir64b\n")

    with pytest.raises(SeriesError, match=r"^2\.patch does not fit this QEMU"):
        apply(read_series(folder), tree)


def test_patch_that_the_source_has_already_is_passed_over(folder: Path, tree: Path) -> None:
    (tree / "file").write_text("one\nzwei\nthree\n")

    had = apply(read_series(folder), tree)

    assert [patch.file.name for patch in had] == ["1.patch"]
    assert (tree / "file").read_text() == "one\ndeux\nthree\n"


def test_patch_that_would_fit_with_fuzz_is_refused(folder: Path, tree: Path) -> None:
    (tree / "file").write_text("ONE\ntwo\nthree\n")

    with pytest.raises(SeriesError, match="does not fit"):
        apply(read_series(folder), tree)


@pytest.mark.parametrize("listed", ["1.patch -\n", "1.patch -\n2.patch -\n3.patch -\n"])
def test_list_that_does_not_fit_the_folder_is_refused(listed: str, folder: Path) -> None:
    (folder / "series").write_text(listed)

    with pytest.raises(SeriesError, match=r"[23]\.patch"):
        read_series(folder)


@pytest.mark.parametrize("gives", ["", "flying"])
def test_capability_that_nobody_knows_is_refused(gives: str, folder: Path) -> None:
    (folder / "series").write_text(f"1.patch {gives}\n2.patch -\n")

    with pytest.raises(SeriesError, match="needs a capability"):
        read_series(folder)


def test_key_changes_with_every_byte_order_capability_and_the_recipe(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = read_series(folder)
    keys = [build_key(series), build_key(Series(tuple(reversed(series.patches))))]
    keys.append(build_key(Series((Patch(series.patches[0].file, None), series.patches[1]))))
    (folder / "2.patch").write_text(SECOND + "\n")
    keys.append(build_key(read_series(folder)))
    monkeypatch.setattr(recipe, "DEVICES", recipe.DEVICES[:-1])
    keys.append(build_key(read_series(folder)))

    assert len(set(keys)) == 5
    assert all(re.fullmatch(r"[0-9a-f]{12}", key) for key in keys)


def test_same_series_elsewhere_has_the_same_key(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "copy")

    assert build_key(read_series(tmp_path / "copy")) == build_key(read_series())


@pytest.mark.skipif(
    not Path(os.environ.get("QEMU_SRC", "/nowhere")).is_dir(),
    reason="QEMU_SRC names no source tree to try the series on",
)
def test_series_fits_the_source_tree_that_is_given(tmp_path: Path) -> None:
    series = read_series()
    for name in {name for patch in series.patches for name in _FILE.findall(patch.file.read_text())}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(os.environ["QEMU_SRC"], name), tmp_path / name)

    apply(series, tmp_path)
