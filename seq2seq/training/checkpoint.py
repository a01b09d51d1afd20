"""Checkpoints: saving them atomically, stopping on a signal, and averaging their weights."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import load_file
from torch import Tensor, nn

from seq2seq.runs.directory import LAST
from seq2seq.training.callbacks import update_ends
from seq2seq.utils.files import written


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
        with written(self.path) as temporary:
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


class MovingAverage:
    """An exponential moving average of a model's weights  (Polyak & Juditsky 1992; the decay of Kingma & Ba 2015, section 7.2).

    The decay grows from 0 as (1 + n) / (10 + n), so that the first weights are soon forgotten."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay, self.updates = model, decay, 0
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the model's weights of now."""
        self.updates += 1
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        parameters = dict(self.model.named_parameters())
        self.follow()
        torch._foreach_lerp_([self.weights[n] for n in parameters], [p.detach() for p in parameters.values()], share)

    def follow(self) -> None:
        """Be where the model is: it is moved to its device after this was made."""
        self.weights = {name: self.weights[name].to(p.device) for name, p in self.model.named_parameters()}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the average as its weights; afterwards its own again."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the average and the model's weights."""
        for name, p in self.model.named_parameters():
            mine = self.weights[name].clone()
            self.weights[name].copy_(p)
            p.copy_(mine)

    def state(self) -> dict[str, Tensor | int]:
        """What a resumed run needs."""
        return {**self.weights, "updates": self.updates}

    def restore(self, state: dict[str, Tensor | int]) -> None:
        """Go on from `state`."""
        self.updates = int(state["updates"])
        for name, weight in self.weights.items():
            weight.copy_(torch.as_tensor(state[name]))


def mean_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of safetensors checkpoints, summed in float64."""
    total: dict[str, Tensor] = {}
    for path in paths:
        for name, value in load_file(path).items():
            total[name] = total[name] + value.double() if name in total else value.double()
    return {name: (value / len(paths)).float() for name, value in total.items()}


class Average(L.Callback):
    """Keeps the exponential moving average going."""

    def __init__(self, average: MovingAverage) -> None:
        self.average = average

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if update_ends(trainer, batch_idx):
            self.average.update()

    def state_dict(self) -> dict[str, Any]:
        return dict(self.average.state())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.average.restore(state_dict)
