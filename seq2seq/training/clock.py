"""How long has training taken? Wall and processor time, validation left out, going on where a resumed run stopped."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L


class Clock(L.Callback):
    """Runs from the first batch; stands still inside `paused`."""

    def __init__(self) -> None:
        self.before = (0.0, 0.0)  # seconds, processor seconds of the spans that are over
        self.since: tuple[float, float] | None = None

    def read(self) -> tuple[float, float]:
        """Seconds of training, processor seconds of training (all threads of this process)."""
        if self.since is None:
            return self.before
        wall, processor = self.since
        return self.before[0] + time.perf_counter() - wall, self.before[1] + time.process_time() - processor

    def start(self) -> None:
        """Go on."""
        self.since = (time.perf_counter(), time.process_time())

    def stop(self) -> None:
        """Stand still."""
        self.before, self.since = self.read(), None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """For what is not training."""
        running = self.since is not None
        self.stop()
        yield
        if running:
            self.start()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.start()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.stop()

    def state_dict(self) -> dict[str, Any]:
        return {"spent": list(self.read())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.before = tuple(state_dict["spent"])
