"""How far is it? A bar on a terminal, else a line every few seconds, both with the rate and the time left."""

import logging
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from seq2seq.utils.progress import LOG_INTERVAL, format_duration

log = logging.getLogger("seq2seq")


class TrainingLimits:
    """When training will be over, by whichever limit comes first; None where nobody knows."""

    def __init__(self, updates: int, minutes: float) -> None:
        self.updates, self.seconds = updates, 60 * minutes

    def share(self, update: int, seconds: float) -> float:
        """How much is done, from 0 to 1; 0 without a limit."""
        done = [update / self.updates] if self.updates else []
        done += [seconds / self.seconds] if self.seconds else []
        return min(1.0, max(done, default=0.0))


class Progress:
    """The state of training for whoever watches; nothing is drawn with kind=none."""

    def __init__(self, limits: TrainingLimits, kind: str) -> None:
        terminal = sys.stderr.isatty() if kind == "auto" else kind == "bar"
        self.limits, self.lines = limits, kind != "none" and not terminal
        columns = (BarColumn(None), TextColumn("{task.description}"))
        self.bar = Bar(*columns, console=Console(stderr=True), transient=True) if terminal and kind != "none" else None
        self.task = self.bar.add_task("", total=1.0) if self.bar else None
        self.first, self.said, self.text = (0, 0.0), 0.0, ""

    def start(self, update: int, seconds: float) -> None:
        """Begin at this update, after so many seconds of training."""
        self.first = (update, self.limits.share(update, seconds))
        self.began = seconds
        if self.bar:
            self.bar.start()

    def tell(self, update: int, seconds: float) -> None:
        """Move the bar."""
        if self.bar and self.task is not None:
            text = f"update {update} {self.text} {self.left(update, seconds)}"
            self.bar.update(self.task, completed=self.limits.share(update, seconds), description=text)

    def line(self, update: int, epoch: int, loss: float, speed: float, seconds: float) -> None:
        """What the log says of the last updates."""
        self.text = f"epoch {epoch}  loss {loss:.3f}  {speed:,.0f} tokens/s"
        if self.lines and time.monotonic() - self.said >= LOG_INTERVAL:
            self.said = time.monotonic()
            log.info("update %d  %s  %s", update, self.text, self.left(update, seconds))

    def left(self, update: int, seconds: float) -> str:
        """The time left, if there is a limit."""
        done = self.limits.share(update, seconds)
        new = done - self.first[1]
        if new <= 0:
            return f"{format_duration(seconds)} so far"
        return f"{format_duration((1 - done) / new * (seconds - self.began))} left"

    def stop(self) -> None:
        """Take the bar away."""
        if self.bar:
            self.bar.stop()
