"""Averages of weights: an exponential moving average during training, and the mean of saved weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from seq2seq.runs.weights import load_weights
from seq2seq.training.callbacks import update_ends


class MovingAverage(L.Callback):
    """An exponential moving average of a model's weights  (Polyak & Juditsky 1992; Kingma & Ba 2015, section 7.2).

    At update n the decay is min(`decay`, (1 + n) / (10 + n)), so that the initial weights are soon forgotten."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay, self.updates = model, decay, 0
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @property
    def state_key(self) -> str:
        return "Average"  # as in the checkpoints of earlier versions

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if update_ends(trainer, batch_idx):
            self.update()

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the model's current weights."""
        self.updates += 1
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        parameters = dict(self.model.named_parameters())
        # the model may have moved to its device after the average was created
        self.weights = {name: self.weights[name].to(p.device) for name, p in parameters.items()}
        torch._foreach_lerp_(list(self.weights.values()), [p.detach() for p in parameters.values()], share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """A context in which the model's weights are the average."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, p in self.model.named_parameters():
            weight = p.clone()
            p.copy_(self.weights[name])
            self.weights[name].copy_(weight)

    def state_dict(self) -> dict[str, Any]:
        return {**self.weights, "updates": self.updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.updates = int(state_dict["updates"])
        for name, weight in self.weights.items():
            weight.copy_(torch.as_tensor(state_dict[name]))


def mean_weights(model: nn.Module, run: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """The float32 mean of the weights of `model` in files of a run directory, summed in float64.

    Raises RunError as `load_weights`; the weights that the model has are replaced."""
    total: dict[str, Tensor] = {}
    for name in names:
        load_weights(model, run, name)
        for key, parameter in model.named_parameters():
            value = parameter.detach().double()
            total[key] = total[key] + value if key in total else value
    return {name: (value / len(names)).float() for name, value in total.items()}
