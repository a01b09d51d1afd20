"""Standard input in windows of lines that end where it pauses, so that a filter answers each line as it comes.

Of a file, or of a pipe that is written to quickly, all windows but the last are full."""

import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .errors import DataError
from .lines import LONGEST_LINE, decode_line, endless_line

T = TypeVar("T")

PAUSE = 0.05  # seconds without a line after which those that have come are answered
PATIENCE = 0.5  # seconds after the first line of a window from which on no further line is waited for
BLOCK = 1 << 16  # bytes


def stdin_windows(size: int, parse: Callable[[str, int], T]) -> Iterator[list[T]]:
    """Lists of up to `size` lines of stdin, as `parse` returns them for a line and its number, from 1.

    Only a newline ends a line. Raises DataError for a line that is not UTF-8 or has no end, for an input that cannot be
    read, and what `parse` raises, once the lines before it have been given."""
    if sys.stdin is None:
        raise DataError("there is nothing to read: the standard input is closed")
    lines = _Lines(sys.stdin.buffer)
    failure: DataError | None = None
    while failure is None:
        window: list[T] = []
        try:
            for line in lines.window(size):
                window.append(parse(decode_line(line, "stdin", lines.number), lines.number))
        except DataError as error:
            failure = error
        if window:
            yield window
        elif failure is None:
            return
    raise failure


class _Lines:
    """The lines of a binary stream, read without waiting for more than a line needs."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.rest, self.ended, self.number = stream, bytearray(), False, 0
        try:
            self.descriptor: int | None = stream.fileno()
        except (OSError, AttributeError):  # a stand-in that never pauses
            self.descriptor = None

    def window(self, size: int) -> Iterator[bytes]:
        """Up to `size` lines: the first is waited for, the others only briefly."""
        deadline = None
        for _ in range(size):
            while not (end := self.rest.find(b"\n") + 1) and not self.ended:
                if deadline is not None and not self._has_input(deadline):
                    return
                self._read()
            end = end or len(self.rest)
            if not end:
                return
            line, self.number = bytes(self.rest[:end]), self.number + 1
            del self.rest[:end]
            deadline = deadline or time.monotonic() + PATIENCE
            yield line

    def _has_input(self, deadline: float) -> bool:
        """Whether there is something to read within PAUSE, and before `deadline` on the monotonic clock."""
        seconds = max(0.0, min(PAUSE, deadline - time.monotonic()))
        return self.descriptor is None or bool(select.select([self.descriptor], [], [], seconds)[0])

    def _read(self) -> None:
        try:
            block = self.stream.read1(BLOCK)
        except OSError as error:  # such as of a descriptor that is open for writing only
            raise DataError(f"the standard input cannot be read: {error.strerror or error}") from error
        self.rest += block
        self.ended = not block
        if len(self.rest) > LONGEST_LINE:
            raise DataError(endless_line("stdin", self.number + 1))
