"""Progress lines of long work: their text, and when and where they are shown."""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seq2seq.translator import Translator
from seq2seq.utils import progress
from seq2seq.utils.progress import ProgressCounter, format_duration, with_progress


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock for the tests to set."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def taking_time(seconds: list[float], items: int, each: float) -> Iterator[int]:
    for item in range(items):
        seconds[0] += each
        yield item


def test_without_a_terminal_a_line_is_logged_every_few_seconds(
    seconds: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seq2seq")
    assert list(with_progress(taking_time(seconds, 12, 1.0), "pairs read", 20)) == list(range(12))
    assert caplog.messages == [
        "pairs read: 5 of 20 (1 a second, 0:00:15 left)",
        "pairs read: 10 of 20 (1 a second, 0:00:10 left)",
    ]
    caplog.clear()
    list(with_progress(taking_time(seconds, 6000, 0.001), "pairs read"))
    assert len(caplog.messages) == 1
    assert re.fullmatch(r"pairs read: 5,00\d \(1,000 a second\)", caplog.messages[0])


def test_terminal_shows_one_line_and_clears_it(
    seconds: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ProgressCounter("translated", 1000) as count:
        for _ in range(4):
            seconds[0] += 0.125
            count.add(50)
    lines = (f"translated: {done} of 1,000 (400 a second, 0:00:02 left)" for done in (100, 200))
    assert capsys.readouterr().err == "".join(f"\r{line}\x1b[K" for line in lines) + "\r\x1b[K"


def test_quick_work_shows_nothing(
    seconds: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(with_progress("ab", "letters")) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_translator_reports_each_batch(random_run: Callable[..., Path], lines: list[str]) -> None:
    sizes: list[int] = []
    Translator.open(random_run(), batch=4).translate(lines, progress=sizes.append)
    not_empty = sum(bool(line.strip()) for line in lines)
    assert sum(sizes) == not_empty
    assert all(size == 4 for size in sizes[:-1])


def test_durations_as_text() -> None:
    assert format_duration(3723.4) == "1:02:03"
