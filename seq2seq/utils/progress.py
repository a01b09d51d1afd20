"""Progress of long work, with rate and time left: one line on a terminal, else a log line every few seconds."""

import logging
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)

LOG_INTERVAL, TERMINAL_INTERVAL = 5.0, 0.2  # seconds between log lines, and between updates of a terminal's line


def with_progress(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` and show how many there were; `label` and `total` as in `ProgressCounter`."""
    with ProgressCounter(label, total) as progress:
        for item in items:
            yield item
            progress.add(1)


class ProgressCounter:
    """Counts finished items and shows `label: 50 of 1,000 (10 a second, 0:01:35 left)`.

    A context manager: on exit it clears its line on the terminal."""

    def __init__(self, label: str, total: int | None = None) -> None:
        """label: what is counted; total: how many there will be, None if unknown."""
        self.label, self.total, self.done = label, total, 0
        self.terminal = sys.stderr.isatty()
        self.started = self.last_shown = time.monotonic()

    def add(self, number: int) -> None:
        """Count `number` more items."""
        self.done += number
        now = time.monotonic()
        if now - self.last_shown < (TERMINAL_INTERVAL if self.terminal else LOG_INTERVAL):
            return
        self.last_shown = now
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1  # a line that wraps could not be cleared
            print(f"\r{self.text(now)[:width]}\x1b[K", end="", file=sys.stderr, flush=True)
        else:
            log.info("%s", self.text(now))

    def text(self, now: float) -> str:
        """The line to show at time `now`, in seconds of `time.monotonic`."""
        rate = self.done / (now - self.started)
        left = f", {format_duration((self.total - self.done) / rate)} left" if self.total and rate else ""
        total = f" of {self.total:,}" if self.total else ""
        return f"{self.label}: {self.done:,}{total} ({rate:,.0f} a second{left})"

    def __enter__(self) -> "ProgressCounter":
        return self

    def __exit__(self, *error: object) -> None:
        if self.terminal and self.last_shown > self.started:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def format_duration(seconds: float) -> str:
    """`h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
