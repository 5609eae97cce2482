"""Files appear whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from TomoRayCore.errors import InputError, SetupError
from TomoRayCore.io.atomic import atomic_path, write_text


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def write_half(target: Path, error: Exception) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error


def test_the_file_appears_only_when_the_block_is_left(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    with atomic_path(target) as temporary:
        temporary.write_text("{}")
        assert not target.exists()
        assert temporary.parent == tmp_path
    assert target.read_text() == "{}"
    assert names(tmp_path) == ["report.json"]


def test_an_error_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "sct.nrrd"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half(target, ZeroDivisionError())
    assert target.read_text() == "old"
    assert names(tmp_path) == ["sct.nrrd"]


@pytest.mark.parametrize("name", ["a.nii.gz", "A.NII.GZ", "a.b.nrrd", "plain", "x.json"])
def test_writers_see_the_suffix_they_pick_the_format_by(tmp_path: Path, name: str) -> None:
    suffix = name[-7:] if name.lower().endswith(".nii.gz") else Path(name).suffix
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.name.endswith(suffix)
        temporary.write_bytes(b"1")
    assert (tmp_path / name).read_bytes() == b"1"


def test_text_is_utf8_with_unix_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "er" / "a.txt", "5 µm\n°\n")
    assert (tmp_path / "deep" / "er" / "a.txt").read_bytes() == "5 µm\n°\n".encode()


def test_two_writers_of_one_file_do_not_share_a_temporary_name(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.txt") as first, atomic_path(tmp_path / "a.txt") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "a.txt").read_text() == "1"


def test_a_full_disk_is_a_matter_of_setup(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        write_half(tmp_path / "a.txt", OSError(errno.ENOSPC, "No space left on device"))
    assert caught.value.code == "DISK_FULL"
    assert names(tmp_path) == []


def test_a_folder_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.txt").mkdir()
    for target in (tmp_path / "file" / "a.txt", tmp_path / "folder.txt"):
        with pytest.raises(InputError) as caught:
            write_text(target, "x")
        assert caught.value.code == "NOT_WRITABLE"


def test_an_input_error_inside_passes_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        (tmp_path / "input that is missing").read_text()
