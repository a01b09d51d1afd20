"""Saving checkpoints atomically, and stopping with one on a signal."""

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from seq2seq.runs.directory import LAST
from seq2seq.training.callbacks import update_ends
from seq2seq.utils.files import atomic_write


class PlainFile(TorchCheckpointIO):
    """Writes where it is told: Lightning's own goes by a temporary folder, maybe of another disk, and ours is beside the file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        try:
            with open(path, "wb") as file:
                torch.save(checkpoint, file)
        except RuntimeError as error:  # what torch makes of a disk that is full, or of a second Ctrl-C
            if isinstance(error.__context__, OSError | KeyboardInterrupt):
                raise error.__context__ from None
            raise


class Checkpoint(L.Callback):
    """Saves what resuming needs, whole or not at all; stops on Ctrl-C or a kill once an update, and its validation, is over."""

    def __init__(self, folder: Path, run: str, say: Callable[[str], None]) -> None:
        """run: the run's id, which says whose checkpoint it is."""
        self.path, self.run, self.say = folder / LAST, run, say
        self.signal: int | None = None
        self.handlers: dict[int, Any] = {}

    def save(self, trainer: L.Trainer) -> None:
        """checkpoints/last.ckpt; loads with weights_only=True."""
        with atomic_write(self.path) as temporary:
            trainer.save_checkpoint(temporary)

    def state_dict(self) -> dict[str, Any]:
        return {"run": self.run}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.handlers = {number: signal.signal(number, self.hear) for number in (signal.SIGINT, signal.SIGTERM)}

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Once: stop after this update. Twice: stop now."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        self.say("stopping after this update; once more stops at once and loses what came after the last checkpoint")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not update_ends(trainer, batch_idx):
            return
        if (
            self.signal is not None or not self.path.exists()
        ):  # the first at once: before weights are kept, and while a full disk costs nothing
            self.save(trainer)
        if self.signal is not None:
            trainer.should_stop = True

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}
