"""Standard input in windows: they end where the input pauses, are full where it does not, and lose nothing."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from seq2seq.errors import DataError
from seq2seq.runtime import stdin
from seq2seq.runtime.stdin import stdin_windows

Pipe = Callable[[bytes], None]


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """Standard input is a pipe, and this writes to it; b"" closes it."""
    ours, theirs = os.pipe()
    monkeypatch.setattr(stdin, "PAUSE", 0.0)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=os.fdopen(ours, "rb")))
    writer = os.fdopen(theirs, "wb", buffering=0)
    yield lambda content: writer.write(content) if content else writer.close()  # type: ignore[func-returns-value]
    writer.close()
    sys.stdin.buffer.close()


def windows(size: int) -> Iterator[list[str]]:
    return stdin_windows(size, lambda line, number: f"{number}:{line}")


def test_a_line_is_given_while_the_pipe_stays_open(pipe: Pipe) -> None:
    found = windows(100)
    pipe(b"one\n")
    assert next(found) == ["1:one"]
    pipe(b"two\nthree\r\nhalf a ")
    assert next(found) == ["2:two", "3:three"]
    pipe(b"line\n\n")
    assert next(found) == ["4:half a line", "5:"]
    pipe("über\nno newline".encode())
    assert next(found) == ["6:über"]
    pipe(b"")
    assert list(found) == [["7:no newline"]]


def test_what_is_there_already_fills_the_windows(pipe: Pipe) -> None:
    pipe(b"".join(b"%d\n" % n for n in range(50)))
    found = windows(20)
    assert [len(next(found)) for _ in range(3)] == [20, 20, 10]


@pytest.mark.parametrize("size", [1, 7, 50, 51])
def test_windows_of_a_file_are_full(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{'ü' * (70_000 if n == 3 else n)}{n}" for n in range(50)]
    (tmp_path / "file").write_text("\n".join(lines), encoding="utf-8")
    expected = [f"{n + 1}:{line}" for n, line in enumerate(lines)]
    for stream in ((tmp_path / "file").open("rb"), io.BytesIO((tmp_path / "file").read_bytes())):
        with stream:
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
            assert list(windows(size)) == [expected[at : at + size] for at in range(0, 50, size)]


def test_lines_before_an_error_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for content, message in (
        (b"a\nb\n\xff\nd", "stdin:3: not UTF-8"),
        (b"a\nb\n" + b"c" * 99, "stdin:3: a line of more"),
    ):
        monkeypatch.setattr(stdin, "LONGEST_LINE", 50)
        monkeypatch.setattr(stdin, "BLOCK", 4)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        found = windows(100)
        assert next(found) == ["1:a", "2:b"]
        with pytest.raises(DataError, match=message):
            next(found)


def test_no_input_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    assert list(windows(3)) == []
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match="standard input is closed"):
        list(windows(3))


def test_input_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT), "rb") as stream:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
        with pytest.raises(DataError, match="the standard input cannot be read"):
            list(windows(3))
