"""Which weights does training hand out? The last, an exponential moving average, or the mean of several checkpoints."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


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
