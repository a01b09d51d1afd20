"""Files that others may have written are opened at one place: regular files, of a bounded size, inside a folder."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.errors import DataError, RunError
from seq2seq.runtime import untrusted
from seq2seq.runtime.untrusted import (
    FLAG,
    NUMBER,
    TEXT,
    WHOLE,
    fits,
    library_path,
    open_file,
    open_lock,
    parse_json,
    read_bytes,
    read_json,
    read_text,
)
from tests.each import each


def giant(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 << 30)


def socket_file(path: Path) -> None:
    socket.socket(socket.AF_UNIX).bind(str(path))


STRANGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, "is missing"),
    "a folder": (lambda path: path.mkdir(), "is a folder, not a regular file"),
    "a pipe": (os.mkfifo, "is a named pipe, not a regular file"),
    "a socket": (socket_file, "is a socket, not a regular file"),
    "a giant": (giant, "is too large: 21,474,836,480 bytes, where at most 100 are expected"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "leads out of"),
    "memory": (lambda path: path.symlink_to("/proc/self/mem"), "leads out of"),
    "a file elsewhere": (lambda path: path.symlink_to("../secret"), "leads out of"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "cannot be read"),
    "a link to nothing": (lambda path: path.symlink_to("absent"), "is missing"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("read", [read_bytes, read_text, read_json, open_file])
@pytest.mark.parametrize("kind", STRANGE)
def test_only_regular_files_of_a_bounded_size_are_opened(kind: str, read: Callable[..., Any], tmp_path: Path) -> None:
    make, why = STRANGE[kind]
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "file"
    make(path)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))} .*{why}"):
        read(path, 100, error=DataError)


@pytest.mark.timeout(20)
def test_file_that_becomes_a_pipe_between_check_and_opening_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "file")
    (tmp_path / "before").write_text("")
    monkeypatch.setattr(Path, "stat", lambda self, **options: os.stat(tmp_path / "before"))
    with pytest.raises(RunError, match="is a named pipe"):
        open_file(tmp_path / "file", 100)


def test_no_more_than_the_limit_is_read_of_a_file_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of /proc, whose size is 0."""
    (tmp_path / "file").write_bytes(b"x" * 101)
    monkeypatch.setattr(untrusted, "check_status", lambda *arguments: None)
    with pytest.raises(RunError, match="is too large: more than 100 bytes"):
        read_bytes(tmp_path / "file", 100)


def test_links_inside_the_root_are_followed(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "link").symlink_to("run")  # the run itself may be a link
    (tmp_path / "run" / "weights").write_text("w")
    (tmp_path / "run" / "checkpoints" / "last").symlink_to("../weights")
    assert read_text(tmp_path / "link" / "checkpoints" / "last", 1, root=tmp_path / "link") == "w"
    with pytest.raises(RunError, match="leads out of"):
        read_text(tmp_path / "link" / "checkpoints" / "last", 1)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("absent"),
        lambda path: path.symlink_to("/proc/self/mem"),
        lambda path: path.symlink_to("../absent"),
    ],
)
def test_only_regular_files_of_the_folder_are_locked(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "lock")
    with pytest.raises(RunError, match=f"^{re.escape(str(tmp_path))}/lock is a .*(, not a regular file|leads out of)"):
        open_lock(tmp_path / "lock")
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_lock_file_is_created_and_kept(tmp_path: Path) -> None:
    open_lock(tmp_path / "lock").close()
    (tmp_path / "lock").write_text("content")
    open_lock(tmp_path / "lock").close()
    assert (tmp_path / "lock").read_text() == "content"


def test_library_opens_the_file_that_is_open_here(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with open_file(tmp_path / "file", 10) as file:
        (tmp_path / "new").write_text("new")
        os.replace(tmp_path / "new", tmp_path / "file")
        assert Path(library_path(file)).read_text() == "old"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON at line 1, column 1"),
        ('{\n"a": }', "not JSON at line 2, column 6"),
        ("[" * 10**5, "nested too deeply"),
        ("9" * 5000, "a number is too long"),
        (r'"\ud800"', "half a surrogate pair"),
        (b'"\xff"', "not UTF-8 at byte 1"),
    ],
)
def test_wrong_json_is_one_sentence(text: str | bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_json(text)


def test_json_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(r'{"a": [1, "\ud83d\ude00 ü"]}', encoding="utf-8")
    assert read_json(tmp_path / "file", 100) == {"a": [1, "😀 ü"]}


@each(
    ("value", "shape", "expected"),
    [
        (3, WHOLE, True), (-1, WHOLE, False), (True, WHOLE, False), (2**63, WHOLE, False), (3.0, WHOLE, False),
        (float("nan"), NUMBER, False), (float("inf"), NUMBER, False), (1.5, NUMBER, True), (True, FLAG, True),
        (1, FLAG, False), (None, TEXT, False), ([1, "a"], (WHOLE, TEXT), True), ([1], (WHOLE, TEXT), False),
        ([], [WHOLE], True), ([1, "a"], [WHOLE], False), ({}, [WHOLE], False), ({"a": 1, "b": []}, {"a": WHOLE}, True),
        ({}, {"a": WHOLE}, False), ([], {"a": WHOLE}, False), ({"x": 1}, {...: WHOLE}, True),
        ({"x": "1"}, {...: WHOLE}, False), ({"a": [{"b": 1}]}, {"a": [{"b": WHOLE}]}, True),
    ],
)  # fmt: skip
def test_shapes_of_values(value: Any, shape: Any, expected: bool) -> None:
    assert fits(value, shape) == expected
