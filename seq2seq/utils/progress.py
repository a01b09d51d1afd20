"""How far is a long work? A line that changes on a terminal, else one every few seconds, with the rate and the time left."""

import logging
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)

LINES, SCREEN = 5.0, 0.2  # seconds between lines of a log, and between looks of a terminal


class Count:
    """Counts what is done; as a context it takes its line away from the terminal at the end."""

    def __init__(self, what: str, total: int | None = None) -> None:
        """total: how many there will be; None if nobody knows."""
        self.what, self.total, self.done = what, total, 0
        self.screen = sys.stderr.isatty()
        self.began = self.said = time.monotonic()

    def add(self, number: int) -> None:
        """So many more are done."""
        self.done += number
        now = time.monotonic()
        if now - self.said >= (SCREEN if self.screen else LINES):
            self.said = now
            if self.screen:
                width = shutil.get_terminal_size().columns - 1  # a line that wraps could not be taken back
                print(f"\r{self.text(now)[:width]}\x1b[K", end="", file=sys.stderr, flush=True)
            else:
                log.info("%s", self.text(now))

    def text(self, now: float) -> str:
        """What there is to say."""
        rate = self.done / (now - self.began)
        left = f", {clock((self.total - self.done) / rate)} left" if self.total and rate else ""
        return f"{self.what}: {self.done:,}{f' of {self.total:,}' if self.total else ''} ({rate:,.0f} a second{left})"

    def __enter__(self) -> "Count":
        return self

    def __exit__(self, *error: object) -> None:
        if self.screen and self.said > self.began:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def counted(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The same items; says meanwhile how many there were."""
    with Count(what, total) as count:
        for item in items:
            yield item
            count.add(1)


def clock(seconds: float) -> str:
    """h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
