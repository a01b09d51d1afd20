"""Atomic writing of files."""

import os
import subprocess
from pathlib import Path

import pytest

from seq2seq.utils.files import atomic_write, error_filename, write_text


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with atomic_write(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic_write(path) as temporary:
        temporary.write_text("half \ud800", encoding="utf-8")
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_os_error_without_a_filename_gets_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"\[Errno 28\] full: '.*/x'"), error_filename(tmp_path / "x"):
        raise OSError(28, "full")
    with pytest.raises(OSError, match=r"\[Errno 28\] full: 'y'"), error_filename(tmp_path / "x"):
        raise OSError(28, "full", "y")
    assert not [*tmp_path.iterdir()]


def test_links_are_followed_and_pipes_written_to_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_text(tmp_path / "link", "a", follow=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "a"
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        write_text(tmp_path / "pipe", "b", follow=True)
        assert reader.communicate(timeout=20)[0] == "b"
    assert (tmp_path / "pipe").is_fifo()
    for name in ("link", "pipe"):  # as in a run directory, where nothing may lead elsewhere
        write_text(tmp_path / name, "c")
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == "c"
    assert (tmp_path / "file").read_text() == "a"


def test_folder_is_refused_as_a_file(tmp_path: Path) -> None:
    for wrong in (tmp_path, Path(".")):
        with pytest.raises(IsADirectoryError), atomic_write(wrong):
            pass
