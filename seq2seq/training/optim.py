"""How do gradients move the weights? torch's optimizers under the names of the settings, one row each in OPTIMIZERS."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import Optimizer


class Rates(NamedTuple):
    """The numbers an optimizer may read."""

    learning_rate: float
    beta1: float
    beta2: float
    weight_decay: float
    fused: bool  # one kernel for all; not where gradients are scaled, which it would undo after they are clipped


def sgd(parameters: Iterable[Any], rates: Rates) -> Optimizer:
    """Stochastic gradient descent, no momentum  (as in Luong et al. 2015)."""
    return torch.optim.SGD(parameters, lr=rates.learning_rate, weight_decay=rates.weight_decay)


def adam(parameters: Iterable[Any], rates: Rates) -> Optimizer:
    """Kingma & Ba 2015; weight decay is L2."""
    return torch.optim.Adam(
        parameters, lr=rates.learning_rate, betas=rates[1:3], eps=1e-9, weight_decay=rates.weight_decay, fused=rates.fused
    )


def adamw(parameters: Iterable[Any], rates: Rates) -> Optimizer:
    """Loshchilov & Hutter 2019; decoupled weight decay."""
    return torch.optim.AdamW(
        parameters, lr=rates.learning_rate, betas=rates[1:3], eps=1e-9, weight_decay=rates.weight_decay, fused=rates.fused
    )


def adafactor(parameters: Iterable[Any], rates: Rates) -> Optimizer:
    """Shazeer & Stern 2018: sublinear memory."""
    return torch.optim.Adafactor(parameters, lr=rates.learning_rate, weight_decay=rates.weight_decay)


def adagrad(parameters: Iterable[Any], rates: Rates) -> Optimizer:
    """Duchi et al. 2011; the sum of squares begins with 0.1, as in See et al. 2017."""
    return torch.optim.Adagrad(parameters, lr=rates.learning_rate, weight_decay=rates.weight_decay, initial_accumulator_value=0.1)


def adadelta(parameters: Iterable[Any], rates: Rates) -> Optimizer:
    """Zeiler 2012, rho = 0.95 and epsilon = 1e-6, as in Bahdanau et al. 2015, section B.2; its rate is 1."""
    return torch.optim.Adadelta(parameters, lr=rates.learning_rate, rho=0.95, eps=1e-6, weight_decay=rates.weight_decay)


def decayed(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: matrices decay, biases and gains do not."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


OPTIMIZERS: dict[str, Callable[[Iterable[Any], Rates], Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "adafactor": adafactor,
}
