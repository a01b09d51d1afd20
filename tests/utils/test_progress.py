"""Is what long work says of itself right, and said where it is seen?"""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seq2seq.translator import Translator
from seq2seq.utils import progress
from seq2seq.utils.progress import Count, clock, counted


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def passing(seconds: list[float], items: int, each: float) -> Iterator[int]:
    for item in range(items):
        seconds[0] += each
        yield item


def test_a_line_every_few_seconds_where_there_is_no_terminal(
    seconds: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seq2seq")
    assert list(counted(passing(seconds, 12, 1.0), "pairs read", 20)) == list(range(12))
    assert caplog.messages == [
        "pairs read: 5 of 20 (1 a second, 0:00:15 left)",
        "pairs read: 10 of 20 (1 a second, 0:00:10 left)",
    ]
    caplog.clear()
    list(counted(passing(seconds, 6000, 0.001), "pairs read"))
    assert len(caplog.messages) == 1
    assert re.fullmatch(r"pairs read: 5,00\d \(1,000 a second\)", caplog.messages[0])


def test_a_terminal_has_one_line_that_goes(
    seconds: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Count("translated", 1000) as count:
        for _ in range(4):
            seconds[0] += 0.125
            count.add(50)
    lines = (f"translated: {done} of 1,000 (400 a second, 0:00:02 left)" for done in (100, 200))
    assert capsys.readouterr().err == "".join(f"\r{line}\x1b[K" for line in lines) + "\r\x1b[K"


def test_what_is_quick_says_nothing(
    seconds: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(counted("ab", "letters")) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_a_translator_tells_of_each_batch(lively: Callable[..., Path], lines: list[str]) -> None:
    translator, told = Translator.open(lively(), batch=4), list[int]()
    translator.done = told.append
    translator.translate(lines)
    full = sum(bool(line.strip()) for line in lines)
    assert told == [4] * (full // 4) + [full % 4] * bool(full % 4)


def test_time_on_paper() -> None:
    assert clock(3723.4) == "1:02:03"
