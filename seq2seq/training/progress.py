"""The progress display of training: a bar on a terminal, else log lines, with the rate and the time left.

Other long work shows its progress with the counter of `seq2seq.utils.progress`."""

import logging
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from seq2seq.utils.progress import LOG_INTERVAL, format_duration

log = logging.getLogger("seq2seq")


class TrainingLimits:
    """The limits whose distance is known: updates and minutes, 0 where there is none."""

    def __init__(self, updates: int, minutes: float) -> None:
        self.updates, self.seconds = updates, 60 * minutes

    def share(self, update: int, seconds: float) -> float:
        """The share of training that is done, from 0 to 1, by the limit that comes first; 0 without a limit."""
        done = [update / self.updates] if self.updates else []
        done += [seconds / self.seconds] if self.seconds else []
        return min(1.0, max(done, default=0.0))


class TrainingProgress:
    """Shows how far training is; `kind` is a choice of trainer.progress: auto, bar, lines or none."""

    def __init__(self, limits: TrainingLimits, kind: str) -> None:
        as_bar = kind == "bar" or (kind == "auto" and sys.stderr.isatty())
        self.limits, self.lines = limits, kind != "none" and not as_bar
        columns = (BarColumn(None), TextColumn("{task.description}"))
        self.bar = Bar(*columns, console=Console(stderr=True), transient=True) if as_bar else None
        self.task = self.bar.add_task("", total=1.0) if self.bar else None
        self.first_share, self.first_seconds = 0.0, 0.0  # where this process started
        self.last_line = 0.0  # when the last line was logged
        self.text = ""

    def start(self, update: int, seconds: float) -> None:
        """Begin at this update, after so many seconds of training; both are above 0 in a resumed run."""
        self.first_share, self.first_seconds = self.limits.share(update, seconds), seconds
        if self.bar:
            self.bar.start()

    def advance(self, update: int, seconds: float) -> None:
        """Move the bar."""
        if self.bar and self.task is not None:
            text = f"update {update} {self.text} {self.time_left(update, seconds)}"
            self.bar.update(self.task, completed=self.limits.share(update, seconds), description=text)

    def report(self, *, update: int, epoch: int, loss: float, speed: float, seconds: float) -> None:
        """Show the figures of the last updates beside the bar, or log them, at most once in LOG_INTERVAL seconds.

        speed: target tokens per second; seconds: of training so far."""
        self.text = f"epoch {epoch}  loss {loss:.3f}  {speed:,.0f} tokens/s"
        if self.lines and time.monotonic() - self.last_line >= LOG_INTERVAL:
            self.last_line = time.monotonic()
            log.info("update %d  %s  %s", update, self.text, self.time_left(update, seconds))

    def time_left(self, update: int, seconds: float) -> str:
        """The time left by the rate of this process, as "h:mm:ss left"; without a limit "h:mm:ss so far"."""
        share = self.limits.share(update, seconds)
        progress = share - self.first_share
        if progress <= 0:
            return f"{format_duration(seconds)} so far"
        return f"{format_duration((1 - share) / progress * (seconds - self.first_seconds))} left"

    def stop(self) -> None:
        """Remove the bar."""
        if self.bar:
            self.bar.stop()
