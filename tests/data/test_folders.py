"""Folders appear atomically; an interrupted one is resumed by one process while others wait."""

import errno
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from seq2seq.data import folders
from seq2seq.data.dataset import PairArrays, write_arrays
from seq2seq.data.folders import atomic_folder, new_folder, resumable_folder
from seq2seq.errors import ConfigError, DataError
from seq2seq.utils.files import write_json


def fail_midway(part: Path | None, error: BaseException) -> None:
    """Write a file, then fail."""
    assert part
    (part / "done").write_text("1")
    raise error


def test_failed_folder_is_resumed(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with pytest.raises(KeyboardInterrupt), resumable_folder(target) as found:
        fail_midway(found, KeyboardInterrupt())
    assert not target.exists()
    with resumable_folder(target) as found:
        assert found
        assert (found / "done").read_text() == "1"
    assert {path.name for path in tmp_path.iterdir()} == {"a", ".a.lock"}
    assert [path.name for path in target.iterdir()] == ["done"]
    with resumable_folder(target) as found:
        assert found is None
    assert {path.name for path in tmp_path.iterdir()} == {"a", ".a.lock"}


def test_error_before_any_work_leaves_only_the_lock(tmp_path: Path) -> None:
    with pytest.raises(DataError), resumable_folder(tmp_path / "a"):
        raise DataError("the text is wrong")
    assert [path.name for path in tmp_path.iterdir()] == [".a.lock"]


def test_dangling_cache_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cache").symlink_to(tmp_path / "not mounted")
    with pytest.raises(FileExistsError), resumable_folder(tmp_path / "cache" / "a"):
        pass


def test_without_locks_each_process_works_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*words: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folders.fcntl, "flock", none)
    with resumable_folder(tmp_path / "a") as first, resumable_folder(tmp_path / "a") as second:
        assert first
        assert second
        assert first != second
        (first / "x").write_text("1")
        (second / "x").write_text("2")
    assert (tmp_path / "a" / "x").read_text() == "2"
    assert {path.name for path in tmp_path.iterdir()} == {"a", ".a.lock"}


def test_one_process_works_while_others_wait(tmp_path: Path) -> None:
    made: list[Any] = []

    def make(number: int) -> None:
        with resumable_folder(tmp_path / "a") as part:
            if part is not None:
                made.append(number)
                if len(made) < 3:
                    raise DataError("the next one tries again")
                write_json(part / "x.json", number)

    with ThreadPoolExecutor(8) as pool:
        errors = [future.exception() for future in [pool.submit(make, number) for number in range(8)]]
    assert len(made) == 3
    assert [type(error) for error in errors if error] == [DataError] * 2
    assert json.loads((tmp_path / "a" / "x.json").read_text()) == made[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"a", ".a.lock"}


def fail_after_writing(folder: Path) -> None:
    (folder / "x").touch()
    raise KeyboardInterrupt


def test_error_leaves_no_complete_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "a") as temporary:
        fail_after_writing(temporary)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), write_arrays(tmp_path / "b", 9, 9):
        fail_after_writing(tmp_path / "b")
    with pytest.raises(DataError):
        PairArrays(tmp_path / "b")


def test_the_first_of_two_writers_wins(tmp_path: Path) -> None:
    def make(text: str) -> None:
        with atomic_folder(tmp_path / "a") as temporary:
            (temporary / "x").write_text(text)
            barrier.wait(10)

    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(make, "12"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a" / "x").read_text() in "12"


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_new_folder_replaces_nothing(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    {"file": path.touch, "folder": path.mkdir, "dangling link": lambda: path.symlink_to("nowhere")}[kind]()
    with pytest.raises(ConfigError, match=r"a exists already"), new_folder(path):
        pass
    assert [found.name for found in tmp_path.iterdir()] == ["a"]
