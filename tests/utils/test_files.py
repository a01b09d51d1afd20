"""Atomic writing of files."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from seq2seq.errors import ConfigError, RunError
from seq2seq.utils.files import atomic_write, check_folder, check_output, error_filename, open_to_append, write_text


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with atomic_write(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic_write(path) as temporary:
        temporary.write_text("half \ud800", encoding="utf-8")
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_folder_that_is_removed_while_a_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "run" / "file"
    with pytest.raises(RunError, match="file cannot be written: its folder is missing"), atomic_write(path):
        shutil.rmtree(tmp_path / "run")
    with pytest.raises(RunError, match="file cannot be written: its folder is missing"):
        open_to_append(path)


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


@pytest.mark.parametrize("kind", ["file", "link", "broken link", "pipe", "missing"])
def test_appending_in_a_run_never_leaves_it(kind: str, tmp_path: Path) -> None:
    path, outside = tmp_path / "run" / "log.txt", tmp_path / "outside"
    path.parent.mkdir()
    outside.write_text("dear")
    if kind == "file":
        path.write_text("first\n")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "missing":
        path.symlink_to(outside if kind == "link" else tmp_path / "new")
    with open_to_append(path) as file:
        file.write("last\n")
    assert path.read_text() == ("first\nlast\n" if kind == "file" else "last\n")
    assert path.is_file()
    assert not path.is_symlink()
    assert outside.read_text() == "dear"
    assert not (tmp_path / "new").exists()


def test_folder_in_place_of_a_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=str(tmp_path)):
        open_to_append(tmp_path)


def test_output_is_checked_before_the_work(tmp_path: Path) -> None:
    """And nothing is created, neither the file nor a missing folder, whose name may be misspelt."""
    (tmp_path / "results").mkdir()
    (tmp_path / "a file").write_text("dear")
    wrong = {
        tmp_path: "it is a folder",
        tmp_path / "result" / "a.txt": f"result does not exist (did you mean {tmp_path}/results?)",
        tmp_path / "result" / "deep" / "a.txt": f"the folder {tmp_path}/result does not exist",
        tmp_path / "a file" / "a.txt": f"the folder {tmp_path}/a file does not exist",
        tmp_path / ("x" * 300): "name too long",
        Path("/proc/a.txt"): "/proc/a.txt cannot be written: No such file or directory",
        Path("a\x1b.txt/b"): r"a\x1b.txt",
    }
    for path, why in wrong.items():
        with pytest.raises(ConfigError, match=r"^--output ") as caught:
            check_output("--output", path)
        assert why.lower() in str(caught.value).lower()
    for path in (tmp_path / "new.txt", tmp_path / "results" / "new", tmp_path / "a file", Path("/dev/null")):
        check_output("--output", path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a file", "results"]
    with pytest.raises(RunError, match="its folder is missing"):
        write_text(tmp_path / "result" / "a.txt", "text", follow=True)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder where even the superuser cannot create files")
def test_folder_is_checked_before_the_work(tmp_path: Path) -> None:
    check_folder("runs", tmp_path / "not" / "yet")
    with pytest.raises(ConfigError, match=r"^runs=/proc/x cannot be written to: "):
        check_folder("runs", Path("/proc/x"))
    assert list(tmp_path.iterdir()) == []
